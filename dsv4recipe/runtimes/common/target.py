"""Floor 2, runtimes. What a runtime is to the rest of the house: names, legality, config and side files. Pure.

One file per runtime gives one `Target`; `targets.get` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.formats import Format, Part, SourceTensor
from dsv4recipe.formats.base import HALF_DTYPES
from dsv4recipe.recipe.model import Rule
from dsv4recipe.runtimes.common.gguf_engine import Engine
from dsv4recipe.runtimes.common.names import NameMap


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file of the bundle beside the shards: content made here, or a copy of a source file (`copy_of`)."""

    name: str
    content: bytes = b""
    copy_of: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one module, as far as side files ask."""

    role: str
    projection: str
    block: str
    layer: int | None
    source: SourceTensor
    format: Format


@dataclass(frozen=True, slots=True)
class SideInput:
    """What a target may look at to make its side files.

    `texts` holds the source's small JSON files by name, `files` every file name of the source folder (posix, relative),
    `config` the source's config.json, `quantization` the plan's overrides.
    """

    recipe_name: str
    model: str
    config: Mapping[str, Any]
    quantization: Mapping[str, Any]
    modules: Sequence[Placed]
    files: tuple[str, ...]
    texts: Mapping[str, str]
    experts: str
    mtp: str

    @property
    def stages(self) -> int:
        """How many MTP stages the bundle holds."""
        return len({module.layer for module in self.modules if module.block == "mtp"})


def no_sidecar(modules: Iterable[tuple[SourceTensor, Format]]) -> Mapping[str, int]:  # noqa: ARG001 - as `sidecar`
    return {}


def no_extra_parts(fmt: Format, stacked: bool) -> tuple[Part, ...]:  # noqa: ARG001 - the signature of `extra_parts`
    return ()


def as_source(slot: Slot) -> str:
    """`.weight` behind what the source calls so."""
    return ".weight" if slot.row.pattern.endswith(".weight") else ""


@dataclass(frozen=True)
class Target:
    """One runtime as data, for the `families` that it runs under these names; a runtime that runs another family under
    other names has a target for it.

    `names` gives its module paths, `also` those of other runtimes that load the same bundle. `disk_stem` names a module
    on disk. `runs` maps a role to the kinds of format the runtime runs there ("" for every other role); `halves` (the
    advised one first) are the half types it takes; `float32_roles` stay in their source's float32. `overrides` is
    "differing" (only modules that differ from the global entry) or "all"; `stem_overrides` repeats each entry under its
    disk stem. `mtp` says what may become of MTP stages, `stages` of which kinds of stage a bundle may keep, `mtp_paths`
    for which kinds the runtime has modules. `tied` lists projections that share one format per layer, and `tied_error`
    whether the runtime breaks without, or is only slower. `row_groups` maps a projection to the dimension that splits
    its rows into a leading axis on disk. `whole` names the kinds of format that the experts of a layer should have in
    all projections or in none. `laws` names what the contract asks beyond the laws of all. `sidecar` gives the tensor
    files beside the shards that the formats call for, with their payload bytes; `first` the kind of format of which the
    first shard must hold a stack, where there is one.

    By beginnings of source patterns: `skips` are tensors that the loader passes over; `lacks` those that it has no
    module for and does not take in a bundle, with what a recipe's `match` says of them; `refuses` those without which
    the model is another one, with the reason why the runtime cannot run them.

    `container` is how tensors lie in files: "safetensors" (a folder of shards) or "gguf" (one file, whose header says
    what config.json says elsewhere). `suffix` is what stands behind the stem of a tensor that is stored as one;
    `globals_first` puts what is outside of layers in front. `engine` says what a GGUF engine loads and runs.
    """

    name: str
    families: tuple[str, ...]
    names: NameMap
    expert_layouts: tuple[str, ...]
    mtp: tuple[str, ...]
    halves: tuple[str, ...]
    runs: Mapping[str, tuple[str, ...]]
    float32_roles: tuple[str, ...]
    overrides: str
    stem_overrides: bool
    disk_stem: Callable[[Slot, str], str]
    side_files: Callable[[SideInput], tuple[SideFile, ...]]
    library: str
    extra_parts: Callable[[Format, bool], tuple[Part, ...]] = no_extra_parts
    also: tuple[NameMap, ...] = ()
    tied: tuple[str, ...] = ()
    tied_error: bool = True
    whole: tuple[str, ...] = ()
    row_groups: Mapping[str, str] = field(default_factory=dict)
    laws: tuple[str, ...] = ()
    mtp_paths: tuple[str, ...] = ()
    sidecar: Callable[[Iterable[tuple[SourceTensor, Format]]], Mapping[str, int]] = no_sidecar
    first: str = ""
    stages: tuple[str, ...] = ("classic", "dspark")
    skips: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    refuses: Mapping[str, str] = field(default_factory=dict)
    container: str = "safetensors"
    suffix: Callable[[Slot], str] = as_source
    globals_first: bool = False
    engine: Engine | None = None

    def path(self, slot: Slot) -> str | None:
        """The post-sanitize path of what a slot becomes; None where the runtime has no module for it."""
        return self.names.path(slot.stem) if self._loads(slot) else None

    def keys(self, slot: Slot) -> tuple[str, ...]:
        """The paths under which config.json describes a slot, one per dialect; the runtime's own comes first."""
        if not self._loads(slot):
            return ()
        return tuple(dict.fromkeys(names.path(slot.stem) for names in (self.names, *self.also)))

    def lookups(self, slot: Slot) -> tuple[tuple[str, ...], ...]:
        """Per dialect, the keys that the runtime tries in turn for a slot's entry."""
        if not self._loads(slot):
            return ()
        return tuple(dict.fromkeys(names.lookups(slot.stem) for names in (self.names, *self.also)))

    def absent(self, slot: Slot) -> bool:
        """Whether the runtime has no module for the slot and loads no bundle that holds it."""
        return slot.row.pattern.startswith(tuple(self.lacks))

    def skipped(self, slot: Slot) -> bool:
        """Whether the loader passes over what a bundle holds of the slot."""
        return slot.row.pattern.startswith(self.skips)

    def kept(self, source: SourceTensor, role: str, half: str) -> str:
        """The safetensors dtype that `keep: source` means: halves follow `half`, and are widened, which is exact, where
        the runtime wants float32; all else stays as it is stored."""
        if source.stored not in ("bf16", "f16"):
            return source.dtype
        return "F32" if role in self.float32_roles else HALF_DTYPES[half]

    def groups(self, slot: Slot, dims: Dims) -> int:
        """Into how many leading groups the rows of a matrix are split on disk; 0 if they are not."""
        name = self.row_groups.get(slot.row.projection)
        return int(getattr(dims, name)) if name and self._loads(slot) else 0

    def _loads(self, slot: Slot) -> bool:
        if slot.block == "mtp" and slot.stage not in self.mtp_paths:
            return False
        return not slot.row.pattern.startswith((*self.skips, *self.lacks, *self.refuses))


@dataclass(frozen=True, slots=True)
class Claim:
    """A group, the rule that won it and the format it becomes."""

    group: Group
    rule: Rule
    format: Format
