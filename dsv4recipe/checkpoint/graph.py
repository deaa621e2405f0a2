"""Floor 1, checkpoint. Turns headers into logical tensors, groups and the tensor graph. All but `open_checkpoint` is
pure.

A *tensor* is a weight with its scale. A *group* becomes one module: it is one tensor, or one projection of all
routed experts of a block. The networkx graph is kept at the level of groups (about 1,400 nodes instead of 69,187):
"file" → "group" → "module" → "shard". The plan adds modules and shards. An edge means "is made from".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4
from dsv4recipe.checkpoint.deepseek_v41 import DEEPSEEK_V41
from dsv4recipe.checkpoint.dialects import canonical, dialect_of
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.experts import with_experts
from dsv4recipe.checkpoint.family import Family, Slot
from dsv4recipe.checkpoint.findings import Findings, refuse_other_names, report_strangers
from dsv4recipe.checkpoint.folder import Folder, open_folder
from dsv4recipe.checkpoint.open import said_to_be
from dsv4recipe.checkpoint.storage import TOO_NARROW, storage
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.formats.base import Format, SourceTensor
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.units import counted

FAMILIES = (DEEPSEEK_V4, DEEPSEEK_V41)


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
    """The tensors that become one module. `members` holds the experts in order, or the one tensor. `source` is how most
    members are stored. `others` lists each other way, with the name of the first member that is stored in it."""

    stem: str
    slot: Slot
    source: SourceTensor
    members: tuple[Tensor, ...]
    others: tuple[tuple[str, SourceTensor], ...] = ()

    @property
    def experts(self) -> int:
        """Returns the number of routed experts; 0 for a tensor that has none."""
        return len(self.members) if self.slot.expert is not None else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the logical shape of the module: [experts, out, in] for routed experts."""
        return (self.experts, *self.source.shape) if self.experts else self.source.shape

    def problem(self, fmt: Format) -> str:
        """Returns why some member cannot take a format; "" if all can."""
        found = fmt.problem(self.source)
        return found or next((f"{name}: {why}" for name, source in self.others if (why := fmt.problem(source))), "")

    def lossless(self, fmt: Format) -> bool:
        """Whether every number of every member stays exactly what it is."""
        return fmt.lossless(self.source) and all(fmt.lossless(source) for _, source in self.others)

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
    dialect: str = ""
    notes: tuple[Diagnostic, ...] = ()

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


def make_checkpoint(folder: Folder) -> Checkpoint:
    """Pairs every weight with its scale, names every tensor by the family's table and groups the routed experts.

    Raises RecipeError with every tensor that is unknown (C020), is missing (C021), has a scale but no weight (C022),
    has the wrong shape (C023) or is stored in no known encoding (C024). There is one finding instead of many if experts
    were pruned (C025), if the hash table has another width (C026), or if the names are another tool's (C028).
    """
    config_file = f"{folder.place}/config.json"
    family = detect_family(folder.config, config_file)
    dims = family.dims_of(family.config_of(folder.config), config_file)
    problems = Findings(folder)
    entries = {entry.name: (header.file, entry) for header in folder.files for entry in header.tensors}
    dialect = dialect_of(entries)
    entries = canonical(entries, family, dims)
    dims = with_experts(entries, dims, config_file)
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
        if (source.stored == "int") != (expected.stored == "int") or source.dtype in TOO_NARROW:
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
        report_strangers(entries.keys(), family, dims, problems)
        refuse_other_names(problems, entries, family, sum(1 for _ in family.expected(dims)))
    problems.raise_if_any()
    groups = tuple(_group(stem, members) for stem, members in grouped.items())
    return Checkpoint(folder, family, dims, groups, dialect, (*folder.notes, *_odd(folder, groups)))


def open_checkpoint(path: str | Path, base_model: str = "") -> Checkpoint:
    """Opens a checkpoint (a folder or hf://org/repo@revision) and validates config.json, index and headers.

    No weights are read. `base_model` (ORG/NAME or ORG/NAME@COMMIT) says which repository a folder comes from, if
    nothing else tells. Raises RecipeError with all problems at once, and C064 for a `base_model` that cannot be right.
    """
    folder = open_folder(path)
    if base_model:
        folder = replace(folder, origin=said_to_be(folder.source.origin, base_model))
    return make_checkpoint(folder)


def _group(stem: str, members: list[Tensor]) -> Group:
    first = members[0]
    if all(member.source == first.source for member in members):
        return Group(stem, first.slot, first.source, tuple(members))
    most = Counter(member.source for member in members).most_common(1)[0][0]
    others = {member.source: member.name for member in reversed(members) if member.source != most}
    return Group(stem, first.slot, most, tuple(members), tuple((name, source) for source, name in others.items()))


def _odd(folder: Folder, groups: tuple[Group, ...]) -> Iterator[Diagnostic]:
    """Yields C027, where experts are stored otherwise than most of their stack."""
    odd = [(each, group) for group in groups if group.others for each in group.members if each.source != group.source]
    if odd:
        tensor = odd[0][0]
        noun = "expert is" if len(odd) == 1 else "experts are"
        message = f"{len(odd):,} {noun} stored otherwise than most of their stack, first {tensor.name}"
        notes = [f"{each.name}: {each.source.stored}, most of its stack {of.source.stored}" for each, of in odd]
        hint = "a format that copies the bits takes only a stack that is stored alike; others encode each from its own"
        yield Diagnostic("C027", message, Where(folder.place, subject=tensor.name), hint, "warning", tuple(notes))
