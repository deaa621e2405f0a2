"""Floor 1, checkpoint. Describes a model family as a table: rows of tensor patterns, with shapes from config.json.

This module is pure. A family is a tuple of rows, so a new release should need a new table and no new code. `{N}` stands
for a layer, MTP stage or vision block, `{E}` for an expert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dsv4recipe.checkpoint.dims import Dims, flat, layer_sets
from dsv4recipe.formats.base import Stored

Shape = Callable[[Dims, int], tuple[int, ...]]
Condition = Callable[[Dims, int], bool]


def everywhere(dims: Dims, layer: int) -> bool:  # noqa: ARG001 - one signature for all conditions
    return True


@dataclass(frozen=True, slots=True)
class Row:
    """Describes one tensor pattern. `stored` is how releases store it today, which synthetic checkpoints follow; for a
    real checkpoint its headers decide. `shape` gives the logical shape, `on` the layers on which the tensor exists.
    `block` is "main", "mtp" or "vision". `tile` is the FP8 scale tile if it differs from the config's. `indexes` names
    what the values of an integer tensor refer to; it is "" if they refer to nothing."""

    pattern: str
    stored: Stored
    shape: Shape
    role: str
    projection: str = ""
    on: Condition = everywhere
    block: str = "main"
    tile: tuple[int, ...] = ()
    indexes: str = ""


INDEXED: Mapping[str, Callable[[Dims, str], int]] = {"routed experts": lambda d, block: d.experts_in(block)}
"""Returns, for each value of `Row.indexes`, how many such things a layer of the block has."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Says what a source tensor name means. `layer` numbers MTP stages after the main layers and is None outside of
    layers. `number` is the one in the name. `stage` is the kind of MTP stage: "classic", "dspark", or ""."""

    row: Row
    block: str
    layer: int | None
    number: int | None
    expert: int | None
    stage: str = ""

    @property
    def stem(self) -> str:
        """Returns the name without `.weight`, with `{E}` for the expert: "layers.3.ffn.experts.{E}.w1"."""
        pattern = self.row.pattern.removesuffix(".weight")
        return pattern if self.number is None else pattern.replace("{N}", str(self.number))

    def below(self, dims: Dims) -> int:
        """Returns the exclusive upper bound of the values of an integer tensor that indexes something, or 0 if it
        indexes nothing."""
        counted = INDEXED.get(self.row.indexes)
        return counted(dims, self.block) if counted else 0


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """Describes a logical tensor that the family's table expects for a config. `tile` is its FP8 scale tile, or () if
    it is not stored in FP8."""

    name: str
    stored: Stored
    shape: tuple[int, ...]
    slot: Slot
    tile: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Section:
    """Describes numbered parts of a checkpoint: their count, and the layer number of the first (None: not layers)."""

    count: Callable[[Dims], int]
    first: Callable[[Dims], int | None]

    def layer(self, dims: Dims, number: int) -> int | None:
        first = self.first(dims)
        return None if first is None else first + number


_SECTIONS = {
    "layers": _Section(lambda d: d.layers, lambda d: 0),
    "mtp": _Section(lambda d: d.stages, lambda d: d.layers),
    "vision.blocks": _Section(lambda d: d.vision.blocks if d.vision else 0, lambda d: None),
}
"""The part of a pattern that stands before `.{N}.`."""

NUMBERED = tuple(head.rpartition(".")[2] for head in _SECTIONS)
"""The last word before the number in a name: "layers", "mtp" or "blocks"."""


@dataclass(frozen=True)
class Family:
    """Describes a family by its rows and by `dims_of`, which reads config.json. `layer_sets` resolves the named layer
    sets of recipes. `nested` says that its config.json describes the language model in `text_config`."""

    name: str
    dims_of: Callable[[Mapping[str, Any], str], Dims]
    rows: tuple[Row, ...]
    nested: bool = False

    @cached_property
    def by_pattern(self) -> dict[str, Row]:
        return {row.pattern: row for row in self.rows}

    @cached_property
    def by_section(self) -> dict[str, list[Row]]:
        """Returns the rows, grouped by what stands before `.{N}.`; "" holds those without a number."""
        found: dict[str, list[Row]] = {"": [], **{head: [] for head in _SECTIONS}}
        for row in self.rows:
            head, numbered, _ = row.pattern.partition(".{N}.")
            found[head if numbered else ""].append(row)
        return found

    def config_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a config.json as this family's releases have it, without a wrapper that another tool put around
        it."""
        return dict(config) if self.nested else flat(config, self.name)

    def layer_sets(self, dims: Dims) -> dict[str, frozenset[int]]:
        return layer_sets(dims)

    def slot(self, name: str, dims: Dims) -> Slot | None:
        """Returns what `name` (a weight or plain tensor, not a scale) means, or None if the table does not have it."""
        pattern, number, expert, layer = name, None, None, None
        for head, section in _SECTIONS.items():
            text, dot, rest = name.removeprefix(head + ".").partition(".")
            if name.startswith(head + ".") and dot and text.isdecimal():
                number = int(text)
                if str(number) != text or number >= section.count(dims):
                    return None
                pattern, layer = f"{head}.{{N}}.{rest}", section.layer(dims, number)
        before, experts, after = pattern.partition(".ffn.experts.")
        text, dot, rest = after.partition(".")
        if experts and dot and text.isdecimal():
            expert = int(text)
            if str(expert) != text:
                return None
            pattern = f"{before}{experts}{{E}}.{rest}"
        row = self.by_pattern.get(pattern)
        if row is None or not row.on(dims, layer or 0) or (expert or 0) >= dims.experts_in(row.block):
            return None
        return Slot(row, row.block, layer, number, expert, _stage(row, dims))

    def expected(self, dims: Dims) -> Iterator[ExpectedTensor]:
        """Yields every logical tensor of a config: unnumbered ones, then main layers, MTP stages and vision blocks."""
        for row in self.by_section[""]:
            if row.on(dims, 0):
                yield from _tensors(row, dims, None, None)
        for head, section in _SECTIONS.items():
            for number in range(section.count(dims)):
                layer = section.layer(dims, number)
                for row in self.by_section[head]:
                    if row.on(dims, layer or 0):
                        yield from _tensors(row, dims, layer, number)


def _stage(row: Row, dims: Dims) -> str:
    return dims.stage if row.block == "mtp" else ""


def _tensors(row: Row, dims: Dims, layer: int | None, number: int | None) -> Iterator[ExpectedTensor]:
    """Yields the tensors of a row in one layer: a single one, or one per expert."""
    shape = row.shape(dims, layer or 0)
    tile = (row.tile or dims.tile) if row.stored == "fp8" else ()
    stage = _stage(row, dims)
    name = row.pattern.replace("{N}", str(number))
    if "{E}" not in name:
        slot = Slot(row, row.block, layer, number, None, stage)
        yield ExpectedTensor(name, row.stored, shape, slot, tile)
        return
    before, after = name.split("{E}")
    for expert in range(dims.experts_in(row.block)):
        slot = Slot(row, row.block, layer, number, expert, stage)
        yield ExpectedTensor(f"{before}{expert}{after}", row.stored, shape, slot, tile)
