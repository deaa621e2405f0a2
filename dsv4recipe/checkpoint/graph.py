"""Floor 1, checkpoint. From headers to logical tensors, groups and the tensor graph. Pure but for `open_checkpoint`.

A *tensor* is a weight with its scale. A *group* is what becomes one module: one tensor, or one projection of all
routed experts of a block. The networkx graph is kept at the level of groups (about 1,400 nodes instead of 69,187):
"file" → "group" → (added by the plan) "module" → "shard"; an edge reads "is made from".
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
"""dtypes of scales: tools without a name for E8M0 call the same byte U8."""
_TOO_NARROW = ("U8",)
"""Integer dtypes in which no release and no runtime keeps a table of numbers."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A logical tensor: a weight, decoded shape and storage, and where its bytes (and its scale's) lie. Where its
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
    """What becomes one module. `members` holds the experts in order, or the one tensor."""

    stem: str
    slot: Slot
    source: SourceTensor
    members: tuple[Tensor, ...]

    @property
    def experts(self) -> int:
        """Number of routed experts; 0 for a tensor that has none."""
        return len(self.members) if self.slot.expert is not None else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns logical shape of the module: [experts, out, in] for routed experts."""
        return (self.experts, *self.source.shape) if self.experts else self.source.shape

    @property
    def names(self) -> str:
        """Returns the source names, compactly: "layers.0.ffn.experts.{0-255}.w1.weight"."""
        span = f"{{0-{self.experts - 1}}}"
        return (
            self.members[0].name
            if not self.experts
            else self.slot.row.pattern.replace("{E}", span).replace("{N}", str(self.slot.number))
        )


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint of a known family: validated headers, no weights read."""

    folder: Folder
    family: Family
    dims: Dims
    groups: tuple[Group, ...]

    def __repr__(self) -> str:
        """Returns one line: where it is and how large."""
        return (
            f"<Checkpoint {self.folder.place}: {self.family.name}, {self.folder.tensors:,} tensors in "
            f"{counted(len(self.folder.files), 'file')}, {self.folder.bytes:,} bytes>"
        )

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json as the family's releases have it; `folder.config` is the file as it is."""
        return self.family.config_of(self.folder.config)

    @property
    def tensors(self) -> Iterator[Tensor]:
        return (tensor for group in self.groups for tensor in group.members)

    @cached_property
    def graph(self) -> Any:
        """networkx.DiGraph: ("file", name) → ("group", stem)."""
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
    """Returns the family of a config.json by its `model_type`. Raises RecipeError C011 for any other."""
    section = config.get("text_config")
    wanted = config.get("model_type")
    for family in FAMILIES:
        if family.name in (wanted, section.get("model_type") if isinstance(section, dict) else None):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise RecipeError(
        "C011", f"config.json: model_type {wanted!r} is not a known family", Where(file), f"known: {known}"
    )


def storage(weight: TensorEntry, scale: TensorEntry | None, tile: tuple[int, ...]) -> SourceTensor | str:
    """How a tensor is stored, by dtype and scale shape and never by name (docs/reference/checkpoint.md). `tile` is the
    scale tile that the config gives FP8 matrices, or the table this tensor.

    Returns the reason as text where the pair fits no known encoding.
    """
    if scale is None:
        if weight.dtype not in _PLAIN:
            return f"dtype {weight.dtype} without a .scale beside it"
        return SourceTensor(_PLAIN[weight.dtype], weight.shape, weight.dtype)
    if scale.dtype not in _SCALES or len(weight.shape) != 2:
        return f"a scale of dtype {scale.dtype} for a weight of shape {list(weight.shape)}"
    rows, columns = weight.shape
    if weight.dtype == "I8" and scale.shape == (rows, 2 * columns // 32) and 2 * columns % 32 == 0:
        return SourceTensor("fp4", (rows, 2 * columns), "I8")
    if weight.dtype == "F8_E4M3" and scale.shape == (-(-rows // tile[0]), -(-columns // tile[1])):
        return SourceTensor("fp8", weight.shape, "F8_E4M3", tile)
    return (
        f"{weight.dtype} {list(weight.shape)} with a scale {list(scale.shape)} is neither FP4 nor FP8 in {tile} tiles"
    )


def make_checkpoint(folder: Folder) -> Checkpoint:
    """Pairs every weight with its scale, names every tensor by the family's table and groups routed experts.

    Raises RecipeError with every tensor that is unknown (C020), missing (C021), orphaned (C022), misshapen (C023) or
    stored in no known encoding (C024).
    """
    config_file = f"{folder.place}/config.json"
    family = detect_family(folder.config, config_file)
    dims = family.dims_of(family.config_of(folder.config), config_file)
    problems = _Listing(folder)
    entries = {entry.name: (header.file, entry) for header in folder.files for entry in header.tensors}
    entries = canonical(entries, family, dims)
    if not any(name.startswith("mtp.") for name in entries):
        dims = replace(dims, stages=0)  # removed as a whole, which config.json need not say
    grouped: dict[str, list[Tensor]] = {}
    seen_scales = 0
    for expected in family.expected(dims):
        found = entries.get(expected.name)
        if found is None:
            problems.add("C021", expected.name, "the config calls for this tensor and no shard holds it")
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
            problems.add("C024", expected.name, f"stored as {source.dtype}, where the model has {wanted}")
            continue
        if source.shape != expected.shape:
            problems.add(
                "C023", expected.name, f"shape {list(source.shape)}, the config calls for {list(expected.shape)}"
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
    """Opens a checkpoint, a folder or hf://org/repo@revision: config.json, index and headers, validated; no weight.

    `base_model` (ORG/NAME or ORG/NAME@COMMIT) says which repository a folder is, where nothing else tells. Raises
    RecipeError with everything that is wrong, all at once, and C064 for a `base_model` that cannot be.
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
                "C024", other.name, f"stored as {other.source.stored}, expert 0 of its stack as {first.source.stored}"
            )
    return Group(stem, first.slot, first.source, tuple(members))


def _report_strangers(entries: dict[str, Any], family: Family, dims: Dims, problems: _Listing) -> None:
    for name in entries:
        if name.endswith(".scale"):
            if name.removesuffix("scale") + "weight" not in entries:
                problems.add("C022", name, "a scale without its weight")
            elif family.slot(name.removesuffix("scale") + "weight", dims) is None:
                problems.add("C020", name, f"no tensor of the family {family.name} has this name")
        elif family.slot(name, dims) is None:
            problems.add("C020", name, f"no tensor of the family {family.name} has this name under this config")


_HINTS = {
    "C020": "is this the config.json of these weights? A name that this version does not know is never guessed",
    "C021": "the download is not complete, or config.json belongs to other weights",
    "C022": "fetch the shards of one revision",
    "C023": "fetch config.json and shards of one revision; after pruning, config.json says how many experts are left",
    "C024": "fetch config.json and shards of one revision, or store the tensor as the releases do",
}


class _Listing:
    """Collects findings per code and reason; a thousand missing experts are one finding that names them all."""

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
