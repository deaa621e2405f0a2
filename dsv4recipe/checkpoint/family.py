"""Floor 1, checkpoint. The table language of a model family: rows of tensor patterns, shapes from config.json.

This module is pure. A family is a tuple of rows; a new release should cost a table, not code. `{N}` stands for a layer,
MTP stage or vision block, `{E}` for an expert.
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
    """One tensor pattern. `stored` is how releases store it today (synthetic checkpoints follow it); a real
    checkpoint's headers decide. `shape` is the logical shape, `on` tells on which layers the tensor exists. `block` is
    "main", "mtp" or "vision"; `tile` the FP8 scale tile where it is not the config's. `indexes` says what the values of
    an integer tensor number: "" where they number nothing."""

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
"""How many there are of what integers number, by `Row.indexes`, in the layers of a block."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a source tensor name means. `layer` numbers MTP stages after the main layers; None for what is in no layer.
    `number` is the one in the name, `stage` the kind of MTP stage it is in: "classic", "dspark", or ""."""

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
        """Returns what every value of an integer tensor that indexes something must be below; 0 where it indexes
        nothing."""
        counted = INDEXED.get(self.row.indexes)
        return counted(dims, self.block) if counted else 0


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A logical tensor that the family's table expects for a config. `tile` is its FP8 scale tile, () if it is not
    stored so."""

    name: str
    stored: Stored
    shape: tuple[int, ...]
    slot: Slot
    tile: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Section:
    """Numbered parts of a checkpoint: how many there are, and the layer number of the first (None: they are none)."""

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
"""What stands before `.{N}.` in a pattern."""

NUMBERED = tuple(head.rpartition(".")[2] for head in _SECTIONS)
"""The last word before a number in a name: "layers", "mtp", "blocks"."""


@dataclass(frozen=True)
class Family:
    """A family: how it reads config.json (`dims_of`) and its rows. `layer_sets` resolves the named layer sets of
    recipes. `nested` says that its config.json describes the language model in `text_config`."""

    name: str
    dims_of: Callable[[Mapping[str, Any], str], Dims]
    rows: tuple[Row, ...]
    nested: bool = False

    @cached_property
    def by_pattern(self) -> dict[str, Row]:
        return {row.pattern: row for row in self.rows}

    @cached_property
    def by_section(self) -> dict[str, list[Row]]:
        """Returns rows by what stands before `.{N}.`; "" for those without a number."""
        found: dict[str, list[Row]] = {"": [], **{head: [] for head in _SECTIONS}}
        for row in self.rows:
            head, numbered, _ = row.pattern.partition(".{N}.")
            found[head if numbered else ""].append(row)
        return found

    def config_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a config.json as this family's releases have it: a wrapper around a flat one is taken off."""
        return dict(config) if self.nested else flat(config, self.name)

    def layer_sets(self, dims: Dims) -> dict[str, frozenset[int]]:
        return layer_sets(dims)

    def slot(self, name: str, dims: Dims) -> Slot | None:
        """Returns what `name` (a weight or plain tensor, not a scale) means; None if the table has no such tensor."""
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
        """Yields every logical tensor of a config: what has no number, then main layers, MTP stages, vision blocks."""
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
    """Yields the tensors of a row in one layer: one, or one per expert."""
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
