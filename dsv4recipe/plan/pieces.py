"""Floor 3, plan. Divides a shard into pieces of work: which rows to read, and at which offsets to write them. Pure.

A piece is at most one expert, or as many rows of a large matrix as hold the weights of one V4-Flash expert. So memory
does not grow with layers, experts or the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Group, Tensor
from dsv4recipe.formats import Format, SourceTensor
from dsv4recipe.formats.base import wants_importance, wants_moments
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.plan.shards import PlacedTensor

PIECE_WEIGHTS = 2048 * 4096
_FILL = {"U8": "<u1", "I32": "<i4"}


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [start, end) of a source file."""

    file: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Beside:
    """A whole source tensor that affects the encoding of another: gate and up for a calibrated down projection."""

    source: SourceTensor
    weight: Span
    scale: Span | None


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows from `first_row` on of one source tensor. `source.shape` is the shape of just these rows. `offsets`
    holds, per part of `format`, where its bytes begin in the shard. Integers that index something must be in [0,
    `below`). `beside` holds the tensors from which the inputs of a calibrated matrix are computed."""

    tensor: str
    first_row: int
    source: SourceTensor
    format: Format
    weight: Span
    scale: Span | None
    offsets: tuple[int, ...]
    below: int = 0
    beside: tuple[Beside, ...] = ()

    @property
    def place(self) -> tuple[str, int]:
        """Returns the sort key that puts pieces into the order of their source."""
        return self.weight.file, self.weight.start

    @property
    def reads(self) -> tuple[tuple[str, int, int], ...]:
        """Returns (file, start, end) of everything that the piece is made of."""
        spans = (self.weight,) if self.scale is None else (self.weight, self.scale)
        return tuple((span.file, span.start, span.end) for span in spans)


def shard_pieces(
    tensors: Iterable[PlacedTensor], groups: Mapping[str, Group]
) -> tuple[list[Piece], list[tuple[int, bytes]]]:
    """Returns the pieces of the modules whose tensors are placed, in file order so that the start of the file is
    complete early, and their constants as (offset, bytes). `groups` maps `PlannedModule.sources` to groups."""
    pieces: list[Piece] = []
    constants: list[tuple[int, bytes]] = []
    placed: dict[tuple[str, int | None], list[PlacedTensor]] = {}
    modules: dict[str, PlannedModule] = {}
    for tensor in tensors:
        modules[tensor.module.disk] = tensor.module
        if tensor.part.fill is not None:
            value = np.full(tensor.part.shape, tensor.part.fill, _FILL[tensor.part.dtype])
            constants.append((tensor.offset, value.tobytes()))
        else:
            placed.setdefault((tensor.module.disk, tensor.expert), []).append(tensor)
    for module in modules.values():
        for number, member in enumerate(groups[module.sources].members):
            parts = placed[module.disk, number if module.per_expert else None]
            parts.sort(key=lambda tensor: module.parts.index(tensor.part))
            pieces += member_pieces(member, module, parts, number, beside(module, number, groups))
    pieces.sort(key=lambda piece: piece.offsets)
    return pieces, constants


def piece_rows(source: SourceTensor, fmt: Format) -> int:
    """Returns the number of rows of a piece: whole FP8 tiles, or all rows if the format needs the whole matrix."""
    rows, width = source.shape[0] if source.shape else 1, max(1, prod(source.shape[1:]))
    if fmt.whole:
        return rows
    step = max(1, PIECE_WEIGHTS // width)
    if source.tile:
        step = max(source.tile[0], step // source.tile[0] * source.tile[0])
    return min(step, rows)


def member_pieces(
    member: Tensor,
    module: PlannedModule,
    tensors: Sequence[PlacedTensor],
    number: int,
    beside: tuple[Beside, ...] = (),
) -> Iterator[Piece]:
    """Yields the pieces of one source tensor, expert `number` of its module; `tensors` are its parts in the module's
    order."""
    source = member.source
    rows = source.shape[0] if source.shape else 1
    step = piece_rows(source, module.format)
    stacked = module.experts and not module.per_expert
    copies = module.experts if stacked else 1
    for first in range(0, rows, step):
        last = min(rows, first + step)
        offsets = []
        for tensor in tensors:
            one = tensor.part.nbytes // copies
            offsets.append(tensor.offset + (number * one if stacked else 0) + first * (one // rows))
        part, weight, scale = row_spans(member, first, last)
        yield Piece(member.name, first, part, module.format, weight, scale, tuple(offsets), member.below, beside)


def beside(module: PlannedModule, number: int, groups: Mapping[str, Group]) -> tuple[Beside, ...]:
    """Returns gate and up of expert `number` if the inputs of its down projection must be computed, otherwise ()."""
    if not (wants_moments(module.format) and module.role == "routed-expert" and module.projection == "down"):
        return ()
    found = []
    for other in ("w1", "w3"):
        member = groups[module.sources.replace(".w2.", f".{other}.")].members[number]
        found.append(Beside(*row_spans(member, 0, member.source.shape[0])))
    return tuple(found)


def row_spans(member: Tensor, first: int, last: int) -> tuple[SourceTensor, Span, Span | None]:
    """Returns rows [first, last) of a tensor as a tensor of their own, and where weight and scale lie. FP8 rows begin
    at a tile."""
    source, entry = member.source, member.weight
    row_bytes = (entry.end - entry.start) // (source.shape[0] if source.shape else 1)
    weight = Span(member.file, entry.start + first * row_bytes, entry.start + last * row_bytes)
    rows = replace(source, shape=(last - first, *source.shape[1:]) if source.shape else ())
    return rows, weight, _scale_span(member, first, last)


def _scale_span(member: Tensor, first: int, last: int) -> Span | None:
    """Returns the scale rows of weight rows [first, last): one per row (FP4), one per tile (FP8)."""
    scale = member.scale
    if scale is None:
        return None
    height = member.source.tile[0] if member.source.tile else 1
    row_bytes = (scale.end - scale.start) // scale.shape[0]
    return Span(
        member.scale_file, scale.start + first // height * row_bytes, scale.start + -(-last // height) * row_bytes
    )


def columns_of(piece: Piece, importance: Guide | None) -> NDArray[np.float32] | None:
    """Returns the weights of the errors for the piece's encoder: float32 [columns], or None if it uses none."""
    if importance is None or not wants_importance(piece.format):
        return None
    return importance.columns(piece.tensor, piece.source.shape[-1])
