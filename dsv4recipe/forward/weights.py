"""Floor 4, forward. Provides the numbers of the forward pass, from a checkpoint or as a plan would store them.

Nothing is written, and a tensor is decoded when it is needed. The numbers of a bundle are in `stored`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.checkpoint.source import Source
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import SourceTensor
from dsv4recipe.formats.decode import INTEGERS, decode_parts, decode_source
from dsv4recipe.formats.encode import BadValue
from dsv4recipe.guidance.encode import encode_guided
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.plan.pieces import Piece, Span, beside, piece_rows, row_spans

Array = NDArray[Any]


class Weights(Protocol):
    """The numbers of a model. Threads may share it."""

    @property
    def title(self) -> str:
        """Returns what messages call the model."""

    def tensor(self, group: Group, number: int = 0) -> Array:
        """Returns member `number` of a group (the expert; 0 for anything else): float32 of `group.source.shape`, or
        integers as stored. Raises RecipeError if it cannot be read or encoded."""

    def rows(self, group: Group, wanted: Array) -> Array:
        """Returns float32 [len(wanted), columns]: these rows of a matrix, such as an embedding."""

    def differs(self, group: Group) -> bool:
        """Returns whether its numbers may differ from the source's."""


def _raw(source: Source, span: Span) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(source.read(span.file, span.start, span.end), np.uint8)
    except OSError as error:
        message = f"{span.file} cannot be read: {error.strerror or error}"
        raise RecipeError(
            "M010", message, Where(f"{source.place}/{span.file}"), "check that the download is complete"
        ) from None


class SourceWeights:
    """The numbers of a checkpoint, decoded exactly."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.source = checkpoint.folder.source

    @property
    def title(self) -> str:
        return "source"

    def tensor(self, group: Group, number: int = 0) -> Array:
        rows = group.source.shape[0] if group.source.shape else 1
        source, weight, scale = self.raw(group, number, 0, rows)
        if source.stored == "int":
            return weight.view(INTEGERS[source.dtype]).reshape(source.shape)
        return decode_source(source, weight, scale)

    def rows(self, group: Group, wanted: Array) -> Array:
        return _rows(self.part, group, wanted)

    def part(self, group: Group, first: int, last: int) -> Array:
        """Returns float32 of rows [first, last) of a matrix."""
        return decode_source(*self.raw(group, 0, first, last))

    def differs(self, group: Group) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def raw(
        self, group: Group, number: int, first: int, last: int
    ) -> tuple[SourceTensor, NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Returns rows [first, last) of a member as stored: what they are, the weight's bytes and its scale's."""
        source, weight, scale = row_spans(group.members[number], first, last)
        return source, _raw(self.source, weight), None if scale is None else _raw(self.source, scale)


class PlannedWeights:
    """What a plan would store, encoded and decoded on demand. `importance` is the file that the plan names, if any."""

    def __init__(self, plan: Plan, checkpoint: Checkpoint, importance: Guide | None = None, title: str = "plan"):
        self.exact = SourceWeights(checkpoint)
        self.importance = importance
        self.modules = by_group(plan, checkpoint)
        self._groups = {group.names: group for group in checkpoint.groups}
        self._title = title

    @property
    def title(self) -> str:
        return self._title

    def tensor(self, group: Group, number: int = 0) -> Array:
        module = self.modules[group.names]
        if group.source.stored == "int":
            return self.exact.tensor(group, number)
        rows = group.source.shape[0] if group.source.shape else 1
        step = piece_rows(group.members[number].source, module.format)
        parts = [self._encoded(group, module, number, at, min(at + step, rows)) for at in range(0, rows, step)]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(group.source.shape)

    def rows(self, group: Group, wanted: Array) -> Array:
        return _rows(self.part, group, wanted)

    def part(self, group: Group, first: int, last: int) -> Array:
        """Returns float32 of rows [first, last) of a matrix. Every format that an embedding may have works row by
        row."""
        return self._encoded(group, self.modules[group.names], 0, first, last)

    def differs(self, group: Group) -> bool:
        return not self.modules[group.names].lossless

    def _encoded(self, group: Group, module: PlannedModule, number: int, first: int, last: int) -> Array:
        source, weight, scale = self.exact.raw(group, number, first, last)
        fmt, member = module.format, group.members[number]
        name = member.name
        spans = row_spans(member, first, last)[1:]
        piece = Piece(name, first, source, fmt, *spans, (), beside=beside(module, number, self._groups))
        try:
            arrays = encode_guided(piece, weight, scale, self.importance, lambda span: _raw(self.exact.source, span))
            return decode_parts(fmt, source, arrays)
        except BadValue as error:
            message = f"{name}, row {first + error.row}, column {error.column}: {error.reason}"
            where = Where(self.exact.source.place, subject=name)
            raise RecipeError(
                "M011", message, where, "keep this tensor in another format, or check its values"
            ) from None


class Mixed:
    """One model in the modules chosen by `others`, another one everywhere else."""

    def __init__(self, base: Weights, other: Weights, chosen: Iterable[str], title: str) -> None:
        self.base = base
        self.other = other
        self.chosen = frozenset(chosen)
        self._title = title

    @property
    def title(self) -> str:
        return self._title

    def of(self, group: Group) -> Weights:
        """Returns the model that provides a group."""
        return self.other if group.names in self.chosen else self.base

    def tensor(self, group: Group, number: int = 0) -> Array:
        return self.of(group).tensor(group, number)

    def rows(self, group: Group, wanted: Array) -> Array:
        return self.of(group).rows(group, wanted)

    def differs(self, group: Group) -> bool:
        return self.of(group).differs(group)


def by_group(plan: Plan, checkpoint: Checkpoint) -> Mapping[str, PlannedModule]:
    """Returns the module of each group, by `group.names`. Raises RecipeError M012 if the plan belongs to another
    checkpoint, or leaves out a tensor that every token needs."""
    modules = {module.sources: module for module in plan.modules}
    main = [group for group in checkpoint.groups if group.slot.block == "main"]
    odd = [g.names for g in main if g.names not in modules or modules[g.names].shape != g.shape]
    if plan.source.header_digest != checkpoint.folder.header_digest or odd:
        said = f", and {len(odd):,} tensors are not in it in that shape, such as {odd[0]}" if odd else ""
        message = f"this plan was made for another checkpoint (its headers differ{said})"
        hint = "pass the checkpoint that it was made for as --source"
        raise RecipeError("M012", message, Where(checkpoint.folder.place), hint)
    return modules


def _rows(part: Callable[[Group, int, int], Array], group: Group, wanted: Array) -> Array:
    """Returns chosen rows of a matrix, read in blocks of whole scale tiles, each block once."""
    height = group.source.tile[0] if group.source.tile else 1
    total, columns = group.source.shape
    out = np.empty((len(wanted), columns), np.float32)
    order = np.argsort(wanted, kind="stable")
    at = 0
    while at < len(order):
        first = int(wanted[order[at]]) // height * height
        last = min(total, first + max(height, 64))
        stop = at
        while stop < len(order) and wanted[order[stop]] < last:
            stop += 1
        block = part(group, first, last)
        chosen = order[at:stop]
        out[chosen] = block[wanted[chosen] - first]
        at = stop
    return out
