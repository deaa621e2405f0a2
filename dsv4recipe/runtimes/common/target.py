"""Floor 2, runtimes. Describes a runtime for all other rooms: names, legality, config and side files. This module is
pure.

One file per runtime gives one `Target`; `targets.get` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """The result for one module, as far as side files need it."""

    role: str
    projection: str
    block: str
    layer: int | None
    source: SourceTensor
    format: Format


@dataclass(frozen=True, slots=True)
class SideInput:
    """What a target may look at to make its side files.

    `texts` holds the source's small JSON files and its programs by name, `files` every file name of the source folder
    (posix, relative), `config` the source's config.json, `quantization` the plan's overrides.
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
    half: str

    @property
    def stages(self) -> int:
        """Returns how many MTP stages the bundle holds."""
        return len({module.layer for module in self.modules if module.block == "mtp"})


def no_sidecar(modules: Iterable[tuple[SourceTensor, Format]]) -> Mapping[str, int]:  # noqa: ARG001 - as `sidecar`
    return {}


def no_extra_parts(fmt: Format, stacked: bool) -> tuple[Part, ...]:  # noqa: ARG001 - the signature of `extra_parts`
    return ()


def as_source(slot: Slot) -> str:
    """Returns `.weight` behind what the source calls so."""
    return ".weight" if slot.row.pattern.endswith(".weight") else ""


@dataclass(frozen=True)
class Target:
    """One runtime as data, for the families that it runs under these names. A runtime that runs another family under
    other names has a second target for it. `runtimes.get` finds the target of a runtime for a family.
    """

    name: str
    """What a recipe writes as `target.runtime`."""
    families: tuple[str, ...]
    """The families of checkpoints that this target is for."""
    names: NameMap
    """The module paths of the runtime."""
    expert_layouts: tuple[str, ...]
    """The layouts of routed experts that it loads: "stacked", "per-expert". The recommended one comes first."""
    mtp: tuple[str, ...]
    """What a recipe may do with MTP stages: "keep", "drop"."""
    halves: tuple[str, ...]
    """The half types that it accepts. The recommended one comes first."""
    runs: Mapping[str, tuple[str, ...]]
    """Role → kinds of format that the runtime can run there; "" stands for every other role."""
    float32_roles: tuple[str, ...]
    """Roles whose tensors stay in float32 if the source has them in float32."""
    overrides: str
    """Which modules get an entry in config.json: "differing" (only those unlike the global entry) or "all"."""
    stem_overrides: bool
    """Whether each entry is repeated under the name on disk."""
    disk_stem: Callable[[Slot, str], str]
    """(slot, layout of experts) → the name of a module on disk, without suffix."""
    side_files: Callable[[SideInput], tuple[SideFile, ...]]
    """Makes the files beside the shards."""
    library: str
    """Whose encoder the formats follow: "mlx" or "gguf"."""
    extra_parts: Callable[[Format, bool], tuple[Part, ...]] = no_extra_parts
    """(format, stacked) → tensors that the runtime needs in addition to those of the format."""
    also: tuple[NameMap, ...] = ()
    """The module paths of other runtimes that load the same bundle."""
    tied: tuple[str, ...] = ()
    """Projections of routed experts that have one format per layer."""
    tied_error: bool = True
    """Whether the runtime breaks if they differ, or is only slower."""
    whole: tuple[str, ...] = ()
    """Kinds of format that the experts of a layer should have in all projections or in none."""
    row_groups: Mapping[str, str] = field(default_factory=dict)
    """Projection → the dimension that splits its rows into a leading axis on disk."""
    laws: tuple[str, ...] = ()
    """What the contract asks beyond the laws that hold for all: names in `verifier.contract.check.MORE_LAWS`."""
    mtp_paths: tuple[str, ...] = ()
    """The kinds of MTP stage that the runtime has modules for."""
    sidecar: Callable[[Iterable[tuple[SourceTensor, Format]]], Mapping[str, int]] = no_sidecar
    """The tensor files beside the shards that the formats call for, with their payload in bytes."""
    first: str = ""
    """The kind of format of which the first shard must hold a stack, if the bundle has one."""
    stages: tuple[str, ...] = ("classic", "dspark")
    """The kinds of MTP stage that a bundle may keep: "classic", "dspark"."""
    skips: tuple[str, ...] = ()
    """Beginnings of source patterns: tensors that the loader passes over."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Beginning of a source pattern → the `match` of a recipe for it: tensors that the runtime has no module for and
    does not accept in a bundle."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Beginning of a source pattern → the reason why the runtime cannot run a model that has it."""
    container: str = "safetensors"
    """How tensors lie in files: "safetensors" (a folder of shards) or "gguf" (one file, whose header also holds what
    config.json says elsewhere)."""
    suffix: Callable[[Slot], str] = as_source
    """The suffix of the name of a tensor that is stored unchanged."""
    globals_first: bool = False
    """Whether tensors outside of layers come first."""
    engine: Engine | None = None
    """What a GGUF engine loads and runs; None for MLX runtimes."""

    def path(self, slot: Slot) -> str | None:
        """Returns the post-sanitize path of what a slot becomes; None where the runtime has no module for it."""
        return self.names.path(slot.stem) if self._loads(slot) else None

    def keys(self, slot: Slot) -> tuple[str, ...]:
        """Returns the paths under which config.json describes a slot, one per dialect; the runtime's own comes
        first."""
        if not self._loads(slot):
            return ()
        return tuple(dict.fromkeys(names.path(slot.stem) for names in (self.names, *self.also)))

    def lookups(self, slot: Slot) -> tuple[tuple[str, ...], ...]:
        """Returns, per dialect, the keys that the runtime tries in turn for a slot's entry."""
        if not self._loads(slot):
            return ()
        return tuple(dict.fromkeys(names.lookups(slot.stem) for names in (self.names, *self.also)))

    def absent(self, slot: Slot) -> bool:
        """Returns whether the runtime has no module for the slot and loads no bundle that holds it."""
        return slot.row.pattern.startswith(tuple(self.lacks))

    def skipped(self, slot: Slot) -> bool:
        """Returns whether the loader passes over what a bundle holds of the slot."""
        return slot.row.pattern.startswith(self.skips)

    def kept(self, source: SourceTensor, role: str, half: str) -> str:
        """Returns the safetensors dtype that `keep: source` means: halves follow `half`, and are widened, which is
        exact, where the runtime wants float32; all else stays as it is stored."""
        if source.stored not in ("bf16", "f16"):
            return source.dtype
        return "F32" if role in self.float32_roles else HALF_DTYPES[half]

    def groups(self, slot: Slot, dims: Dims) -> int:
        """Returns into how many leading groups the rows of a matrix are split on disk; 0 if they are not."""
        name = self.row_groups.get(slot.row.projection)
        return int(getattr(dims, name)) if name and self._loads(slot) else 0

    def unlike(self, values: Mapping[str, Any]) -> Iterator[str]:
        """Yields the key/values of a file that differ from those built into the engine, if it has an engine."""
        return iter(()) if self.engine is None else self.engine.unlike(values)

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
