"""Floor 2, runtimes. What a loader of a runtime does with a bundle, as data that a replay can follow. This module is
pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes.common.predicate import Entry
from dsv4recipe.runtimes.common.target import Target


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the bundle, or that of every expert under one name with `{E}`: `experts` are then their numbers, and
    `alike` says whether all have this dtype and shape."""

    dtype: str
    shape: tuple[int, ...]
    experts: frozenset[int] | None = None
    alike: bool = True

    @property
    def count(self) -> int:
        return 1 if self.experts is None else len(self.experts)


Given = dict[str, Stored]
"""Tensors by name, on disk or after sanitize."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A module that MLX can quantize. `lead` is its expert or row-group axis; `lookups` the keys of its entry."""

    path: str
    lead: tuple[int, ...]
    rows: int
    width: int
    lookups: tuple[str, ...]


Rule = Callable[[Linear, Mapping[str, Any], Given], Entry | None]
"""(module, `quantization` section, tensors after sanitize) → how the module is wrapped, None: left unquantized."""

Rewrite = Callable[[Mapping[str, Any], Mapping[str, Mapping[str, TensorEntry]], int], Mapping[str, Any]]
"""(`quantization` section, tensors on disk by stem and suffix, group size of jang_config.json) → the section."""

Correct = Callable[[Entry, int, int, str], Entry]
"""(entry, columns of the weight, columns of the scales, dtype of the scales) → the entry."""


def as_named(name: str) -> str:
    """Returns the name as it is: what a class without a sanitizer makes of it."""
    return name


@dataclass(frozen=True)
class Loader:
    """One way to load a bundle, as data that the replay follows."""

    name: str
    """The usual name of the loader."""
    version: str
    """The version whose code is followed; "" if the name says it."""
    target: Target
    """The target whose module paths the class has."""
    serves: tuple[str, ...]
    """The targets whose bundles the loader is meant for."""
    rule: Rule
    """Decides how a module is wrapped (its class predicate)."""
    rename: Callable[[str], str | None] = as_named
    """The sanitizer, name by name; None: the tensor is dropped. It runs before experts are stacked."""
    families: tuple[str, ...] = ("deepseek_v4",)
    """The families that the loader is followed for."""
    place: int = 0
    """Its place in the table of `verify`; loaders of one place are in the order of the registry."""
    rename_stage: Callable[[str], str | None] | None = None
    """The sanitizer of MTP stages that the class has modules for."""
    stacks: tuple[str, ...] = ("weight", "scales")
    """The suffixes whose experts are stacked if they are stored one by one."""
    strict: bool = True
    """Whether the loader stops at any difference; if not, what no tensor fills keeps random values."""
    by_index: bool = False
    """Whether it reads the shards that the index names, and not those that a glob finds."""
    by_shard: bool = False
    """Whether it sanitizes one shard at a time."""
    fuses: bool = False
    """Whether it fuses gate and up of routed experts."""
    mxtq: bool = False
    """Whether it loads MXTQ tensors."""
    section: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """Rewrites the `quantization` section before the rule is asked."""
    repair: Rewrite | None = None
    """Rewrites the section from the shapes on disk, if no tensor is MXTQ."""
    correct: Correct | None = None
    """Corrects an entry from the shapes of the loaded tensors."""
    audits: tuple[str, ...] = ()
    """What the loader refuses: names in `verifier.contract.replay.audit.AUDITS`."""
    unsupported: str = ""
    """Why it cannot load any bundle of these families; "" if it can."""
