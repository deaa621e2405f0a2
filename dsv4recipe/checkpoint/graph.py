"""Floor 1, checkpoint. Turns headers into logical tensors, groups and the tensor graph. All but `open_checkpoint` is
pure.

A *tensor* is a weight with its scale. A *group* becomes one module: it is one tensor, or one projection of all
routed experts of a block. The networkx graph is kept at the level of groups (about 1,400 nodes instead of 69,187):
"file" → "group" → "module" → "shard". The plan adds modules and shards. An edge means "is made from".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4
from dsv4recipe.checkpoint.deepseek_v41 import DEEPSEEK_V41
from dsv4recipe.checkpoint.dialects import canonical
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family, Slot
from dsv4recipe.checkpoint.folder import Folder, open_folder
from dsv4recipe.checkpoint.open import said_to_be
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats.base import SourceTensor, Stored
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.units import counted

FAMILIES = (DEEPSEEK_V4, DEEPSEEK_V41)

_PLAIN: dict[str, Stored] = {"BF16": "bf16", "F16": "f16", "F32": "f32", "I64": "int", "I32": "int", "U8": "int"}
_SCALES = ("F8_E8M0", "U8")
"""The dtypes of scales. Tools that have no name for E8M0 store the same byte as U8."""
_TOO_NARROW = ("U8",)
"""Integer dtypes in which no release and no runtime stores a table of numbers."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A logical tensor: a weight, its decoded shape and storage, and where its bytes (and its scale's) lie. If its
    values index something, each must be in [0, `below`)."""

    name: str
    slot: Slot
    source: SourceTensor
    file: str
    weight: TensorEntry
    scale_file: str
    scale: TensorEntry | None
    below: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """The tensors that become one module. `members` holds the experts in order, or the one tensor."""

    stem: str
    slot: Slot
    source: SourceTensor
    members: tuple[Tensor, ...]

    @property
    def experts(self) -> int:
        """Returns the number of routed experts; 0 for a tensor that has none."""
        return len(self.members) if self.slot.expert is not None else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the logical shape of the module: [experts, out, in] for routed experts."""
        return (self.experts, *self.source.shape) if self.experts else self.source.shape

    @property
    def names(self) -> str:
        """Returns the source names in compact form: "layers.0.ffn.experts.{0-255}.w1.weight"."""
        span = f"{{0-{self.experts - 1}}}"
        return (
            self.members[0].name
            if not self.experts
            else self.slot.row.pattern.replace("{E}", span).replace("{N}", str(self.slot.number))
        )


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint of a known family. Its headers are validated, and no weights were read."""

    folder: Folder
    family: Family
    dims: Dims
    groups: tuple[Group, ...]

    def __repr__(self) -> str:
        """Returns one line with the place and the size."""
        return (
            f"<Checkpoint {self.folder.place}: {self.family.name}, {self.folder.tensors:,} tensors in "
            f"{counted(len(self.folder.files), 'file')}, {self.folder.bytes:,} bytes>"
        )

    @cached_property
    def config(self) -> dict[str, Any]:
        """Returns config.json as the family's releases have it; `folder.config` is the unchanged file."""
        return self.family.config_of(self.folder.config)

    @property
    def tensors(self) -> Iterator[Tensor]:
        return (tensor for group in self.groups for tensor in group.members)

    @cached_property
    def graph(self) -> Any:
        """Returns a networkx.DiGraph with the edges ("file", name) → ("group", stem)."""
        import networkx as nx

        graph = nx.DiGraph()
        for group in self.groups:
            node = ("group", group.stem)
            graph.add_node(node, group=group)
            for tensor in group.members:
                graph.add_edge(("file", tensor.file), node)
                if tensor.scale is not None:
                    graph.add_edge(("file", tensor.scale_file), node)
        return graph


def detect_family(config: dict[str, Any], file: str) -> Family:
    """Returns the family of a config.json, chosen by its `model_type`. Raises RecipeError C011 for an unknown one."""
    section = config.get("text_config")
    wanted = config.get("model_type")
    for family in FAMILIES:
        if family.name in (wanted, section.get("model_type") if isinstance(section, dict) else None):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise RecipeError(
        "C011", f"config.json: model_type {wanted!r} is not a known family", Where(file), f"known families: {known}"
    )


def storage(weight: TensorEntry, scale: TensorEntry | None, tile: tuple[int, ...]) -> SourceTensor | str:
    """Returns how a tensor is stored. The dtype and the scale's shape decide, never the name
    (docs/reference/checkpoint.md). `tile` is the scale tile of this tensor, from the family's table or the config.

    Returns the reason as text if the pair fits no known encoding.
    """
    if scale is None:
        if weight.dtype not in _PLAIN:
            return f"dtype {weight.dtype} needs a .scale tensor, and there is none"
        return SourceTensor(_PLAIN[weight.dtype], weight.shape, weight.dtype)
    if scale.dtype not in _SCALES or len(weight.shape) != 2:
        return f"a weight of shape {list(weight.shape)} cannot have a scale of dtype {scale.dtype}"
    rows, columns = weight.shape
    if weight.dtype == "I8" and scale.shape == (rows, 2 * columns // 32) and 2 * columns % 32 == 0:
        return SourceTensor("fp4", (rows, 2 * columns), "I8")
    if weight.dtype == "F8_E4M3" and scale.shape == (-(-rows // tile[0]), -(-columns // tile[1])):
        return SourceTensor("fp8", weight.shape, "F8_E4M3", tile)
    return (
        f"{weight.dtype} {list(weight.shape)} with a scale {list(scale.shape)} is neither FP4 nor FP8 in {tile} tiles"
    )


def make_checkpoint(folder: Folder) -> Checkpoint:
    """Pairs every weight with its scale, names every tensor by the family's table and groups the routed experts.

    Raises RecipeError with every tensor that is unknown (C020), is missing (C021), has a scale but no weight (C022),
    has the wrong shape (C023) or is stored in no known encoding (C024).
    """
    config_file = f"{folder.place}/config.json"
    family = detect_family(folder.config, config_file)
    dims = family.dims_of(family.config_of(folder.config), config_file)
    problems = _Listing(folder)
    entries = {entry.name: (header.file, entry) for header in folder.files for entry in header.tensors}
    entries = canonical(entries, family, dims)
    if not any(name.startswith("mtp.") for name in entries):
        dims = replace(dims, stages=0)  # all stages were removed, which config.json need not mention
    grouped: dict[str, list[Tensor]] = {}
    seen_scales = 0
    for expected in family.expected(dims):
        found = entries.get(expected.name)
        if found is None:
            problems.add("C021", expected.name, "the config requires this tensor, but no shard holds it")
            continue
        scale_file, scale = "", None
        if expected.name.endswith(".weight"):
            beside = entries.get(expected.name.removesuffix("weight") + "scale")
            if beside is not None:
                scale_file, scale = beside
                seen_scales += 1
        source = storage(found[1], scale, expected.slot.row.tile or dims.tile)
        if isinstance(source, str):
            problems.add("C024", expected.name, source)
            continue
        if (source.stored == "int") != (expected.stored == "int") or source.dtype in _TOO_NARROW:
            wanted = "whole numbers of 32 or 64 bits" if expected.stored == "int" else "real numbers"
            problems.add("C024", expected.name, f"it is stored as {source.dtype}, but the model needs {wanted}")
            continue
        if source.shape != expected.shape:
            problems.add(
                "C023",
                expected.name,
                f"its shape is {list(source.shape)}, but the config requires {list(expected.shape)}",
            )
            continue
        below = expected.slot.below(dims)
        tensor = Tensor(expected.name, expected.slot, source, found[0], found[1], scale_file, scale, below)
        grouped.setdefault(expected.slot.stem, []).append(tensor)
    if len(entries) != seen_scales + sum(map(len, grouped.values())):
        _report_strangers(entries, family, dims, problems)
    groups = tuple(_group(stem, members, problems) for stem, members in grouped.items())
    problems.raise_if_any()
    return Checkpoint(folder, family, dims, groups)


def open_checkpoint(path: str | Path, base_model: str = "") -> Checkpoint:
    """Opens a checkpoint (a folder or hf://org/repo@revision) and validates config.json, index and headers.

    No weights are read. `base_model` (ORG/NAME or ORG/NAME@COMMIT) says which repository a folder comes from, if
    nothing else tells. Raises RecipeError with all problems at once, and C064 for a `base_model` that cannot be right.
    """
    folder = open_folder(path)
    if base_model:
        folder = replace(folder, origin=said_to_be(folder.source.origin, base_model))
    return make_checkpoint(folder)


def _group(stem: str, members: list[Tensor], problems: _Listing) -> Group:
    first = members[0]
    for other in members[1:]:
        if other.source != first.source:
            problems.add(
                "C024",
                other.name,
                f"it is stored as {other.source.stored}, but expert 0 of its stack as {first.source.stored}",
            )
    return Group(stem, first.slot, first.source, tuple(members))


def _report_strangers(entries: dict[str, Any], family: Family, dims: Dims, problems: _Listing) -> None:
    for name in entries:
        if name.endswith(".scale"):
            if name.removesuffix("scale") + "weight" not in entries:
                problems.add("C022", name, "this scale has no weight")
            elif family.slot(name.removesuffix("scale") + "weight", dims) is None:
                problems.add("C020", name, f"the family {family.name} has no tensor of this name")
        elif family.slot(name, dims) is None:
            problems.add("C020", name, f"the family {family.name} has no tensor of this name under this config")


_HINTS = {
    "C020": "check that config.json belongs to these weights; unknown names are never guessed",
    "C021": "the download is not complete, or config.json belongs to other weights",
    "C022": "download all shards from one revision",
    "C023": "download all from one revision; after pruning, config.json must say how many experts are left",
    "C024": "download config.json and shards from one revision, or store the tensor as the releases do",
}


class _Listing:
    """Collects findings per code and reason, so that a thousand missing experts are one finding that names them all."""

    def __init__(self, folder: Folder):
        self.folder = folder
        self.found: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, code: str, tensor: str, reason: str) -> None:
        self.found[code, reason].append(tensor)

    def raise_if_any(self) -> None:
        problems = Problems()
        for (code, reason), names in sorted(self.found.items()):
            count = "" if len(names) == 1 else f" ({len(names):,} tensors)"
            where = Where(self.folder.place, subject=names[0])
            problems.error(code, f"{names[0]}: {reason}{count}", where, _HINTS[code], notes=names[1:])
        problems.raise_if_any()
