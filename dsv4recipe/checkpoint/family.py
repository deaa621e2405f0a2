"""Floor 1, checkpoint. The table language of a model family: rows of tensor patterns, shapes from config.json.

Pure. A family is a tuple of rows; a new release should cost a table, not code. `{N}` stands for a layer or MTP
stage, `{E}` for an expert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dsv4recipe.errors import Problems, Where
from dsv4recipe.formats.base import Stored


@dataclass(frozen=True)
class Dims:
    """The numbers of one config.json that decide names and shapes. Symbols: fact sheet checkpoint.md section 5."""

    hidden: int
    vocab: int
    heads: int
    head_dim: int
    q_lora: int
    o_groups: int
    o_lora: int
    inter: int
    shared: int
    experts: int
    topk: int
    hc: int
    index_heads: int
    index_dim: int
    layers: int
    stages: int
    hash_layers: int
    ratios: tuple[int, ...]
    tile: tuple[int, int]

    @property
    def mix(self) -> int:
        """Rows of a hyper-connection matrix: (2 + C)·C for C residual streams."""
        return (2 + self.hc) * self.hc

    def ratio(self, layer: int) -> int:
        """Compress ratio of a layer; MTP stages are numbered after the main layers."""
        return self.ratios[layer]

    def width(self, layer: int, dim: int) -> int:
        """Compressor width: windows overlap at ratio 4, which doubles it."""
        return 2 * dim if self.ratio(layer) == 4 else dim


Shape = Callable[[Dims, int], tuple[int, ...]]
Condition = Callable[[Dims, int], bool]


def everywhere(dims: Dims, layer: int) -> bool:  # noqa: ARG001 - one signature for all conditions
    return True


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor pattern. `stored` is how releases store it today (synthetic checkpoints follow it); a real
    checkpoint's headers decide. `shape` is the logical shape, `on` tells on which layers the tensor exists."""

    pattern: str
    stored: Stored
    shape: Shape
    role: str
    projection: str = ""
    on: Condition = everywhere


@dataclass(frozen=True, slots=True)
class Slot:
    """What a source tensor name means. `layer` numbers MTP stages after the main layers; None for globals."""

    row: Row
    block: str
    layer: int | None
    number: int | None
    expert: int | None

    @property
    def stem(self) -> str:
        """The name without `.weight`, with `{E}` for the expert: "layers.3.ffn.experts.{E}.w1"."""
        pattern = self.row.pattern.removesuffix(".weight")
        return pattern if self.number is None else pattern.replace("{N}", str(self.number))


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A logical tensor that the family's table expects for a config."""

    name: str
    stored: Stored
    shape: tuple[int, ...]
    slot: Slot


@dataclass(frozen=True)
class Family:
    """A family: how it reads config.json (`dims_of`) and its rows. Layer patterns start with `layers.{N}.`, MTP
    patterns with `mtp.{N}.`. `layer_sets` resolves the named layer sets of recipes."""

    name: str
    dims_of: Callable[[dict[str, Any], str], Dims]
    layer_sets: Callable[[Dims], dict[str, frozenset[int]]]
    rows: tuple[Row, ...]

    @cached_property
    def by_pattern(self) -> dict[str, Row]:
        return {row.pattern: row for row in self.rows}

    def slot(self, name: str, dims: Dims) -> Slot | None:
        """What `name` (a weight or plain tensor, not a scale) means; None if the table has no such tensor."""
        segments = name.split(".")
        block, number, expert, layer = "main", None, None, None
        if segments[0] in ("layers", "mtp") and len(segments) > 2 and segments[1].isdecimal():
            block = "mtp" if segments[0] == "mtp" else "main"
            number = int(segments[1])
            layer = number + dims.layers if block == "mtp" else number
            if str(number) != segments[1] or number >= (dims.stages if block == "mtp" else dims.layers):
                return None
            segments[1] = "{N}"
            if len(segments) > 4 and segments[3] == "experts" and segments[4].isdecimal():
                expert = int(segments[4])
                if str(expert) != segments[4] or expert >= dims.experts:
                    return None
                segments[4] = "{E}"
        row = self.by_pattern.get(".".join(segments))
        if row is None or (layer is not None and not row.on(dims, layer)):
            return None
        return Slot(row, block, layer, number, expert)

    def expected(self, dims: Dims) -> Iterator[ExpectedTensor]:
        """Every logical tensor of a config: globals, then main layers, then MTP stages."""
        by_block: dict[str, list[Row]] = {"layers": [], "mtp": [], "": []}
        for row in self.rows:
            head = row.pattern.split(".")[0]
            by_block[head if head in by_block and "{N}" in row.pattern else ""].append(row)
        for row in by_block[""]:
            yield ExpectedTensor(row.pattern, row.stored, row.shape(dims, 0), Slot(row, "main", None, None, None))
        for head, block, count, first in (("layers", "main", dims.layers, 0), ("mtp", "mtp", dims.stages, dims.layers)):
            for number in range(count):
                layer = first + number
                for row in by_block[head]:
                    if not row.on(dims, layer):
                        continue
                    shape = row.shape(dims, layer)
                    name = row.pattern.replace("{N}", str(number))
                    for expert in range(dims.experts) if "{E}" in name else (None,):
                        slot = Slot(row, block, layer, number, expert)
                        full = name if expert is None else name.replace("{E}", str(expert))
                        yield ExpectedTensor(full, row.stored, shape, slot)


@dataclass(slots=True)
class ConfigReader:
    """Reads integers from config.json within bounds, collecting what is missing or absurd."""

    config: dict[str, Any]
    file: str
    problems: Problems

    def number(self, key: str, low: int = 1, high: int = 1 << 24, default: int | None = None) -> int:
        value = self.config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            found = "is missing" if value is None else f"is {value!r}"
            self.problems.error(
                "C010",
                f"config.json: {key} {found}; a whole number from {low} to {high:,} is needed",
                Where(self.file, subject=key),
            )
            return low
        return value

    def numbers(self, key: str, allowed: tuple[int, ...]) -> tuple[int, ...]:
        value = self.config.get(key)
        if not isinstance(value, list) or len(value) > 4096 or any(v not in allowed or v is True for v in value):
            self.problems.error(
                "C010",
                f"config.json: {key} must be a list of {', '.join(map(str, allowed))}",
                Where(self.file, subject=key),
            )
            return ()
        return tuple(value)
