"""Floor 2, runtimes. What a loader of a runtime does with a bundle, as data that a replay can follow. Pure."""

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
    """The name as it is: what a class without a sanitizer makes of it."""
    return name


@dataclass(frozen=True)
class Loader:
    """One way to load a bundle.

    `name` and `version` say what is replayed; `place` is its place in the table, runtimes of one place in the order of
    the registry. `target` has the class's names; `serves` names the targets whose bundles the loader is there for, and
    `families` the families that it is replayed for. `rename` is its sanitizer, name by name (None: the tensor is
    dropped), before single experts with a suffix of `stacks` are stacked; `rename_stage` is the sanitizer of MTP stages
    that the class has modules for. `rule` decides how a module is wrapped. A `strict` loader stops at any difference.
    `by_index`: it reads the shards that the index names, not those that a glob finds. `by_shard`: it sanitizes one
    shard at a time. `fuses`: it fuses gate and up of routed experts. `mxtq`: it loads MXTQ tensors. `section` rewrites
    the `quantization` section before the rule is asked; `repair` rewrites it from the shapes on disk, if no tensor is
    MXTQ; `correct` corrects an entry from the shapes of the loaded tensors. `audits` names what the loader refuses to
    load. `unsupported` says why it loads no bundle of these families at all; "" where it does.
    """

    name: str
    version: str
    target: Target
    serves: tuple[str, ...]
    rule: Rule
    rename: Callable[[str], str | None] = as_named
    families: tuple[str, ...] = ("deepseek_v4",)
    place: int = 0
    rename_stage: Callable[[str], str | None] | None = None
    stacks: tuple[str, ...] = ("weight", "scales")
    strict: bool = True
    by_index: bool = False
    by_shard: bool = False
    fuses: bool = False
    mxtq: bool = False
    section: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    repair: Rewrite | None = None
    correct: Correct | None = None
    audits: tuple[str, ...] = ()
    unsupported: str = ""
