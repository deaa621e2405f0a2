"""Floor 4, verifier (step 3). Compares one piece of a stored tensor with its source: encodes again, decodes, measures.

Reads two files. Our decoder reads everything; mlx's own decoder reads the first rows of each tensor, or all if asked.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.bundle.manifest import shard_path
from dsv4recipe.files.arena import Arena
from dsv4recipe.files.sources import Reader, read_span
from dsv4recipe.formats import Part
from dsv4recipe.formats.base import BLOCKS, wants_importance, wants_moments
from dsv4recipe.formats.codec import codec_of
from dsv4recipe.formats.compare import gaps
from dsv4recipe.formats.decode import INTEGERS, decode_rows, decode_source
from dsv4recipe.formats.decode import raw as checked
from dsv4recipe.formats.encode import encode
from dsv4recipe.formats.kernels.compare import same_bytes
from dsv4recipe.guidance.encode import encode_guided, first_rows, output_errors
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.pieces import Piece, Span, columns_of
from dsv4recipe.records.model import Record
from dsv4recipe.verifier.numbers.judge import mlx_agrees

_DTYPES = {"U32": np.uint32, "U8": np.uint8, "F32": np.float32, "F16": np.uint16, "BF16": np.uint16}
_BLOCK = 1 << 18
"""How many weights are decoded at a time: 1 MiB of float32. With half as many, the calls cost more than the cache
saves."""
_ARENA = Arena()
_GUIDED_ROWS = 64
"""How many rows are encoded again with an activation record: as many as one pass over H takes."""
_AGAIN_ROWS = _JUDGED_ROWS = 16
"""How many rows of every tensor are encoded again if that is slow, and are also read by mlx's decoder."""


@dataclass(slots=True)
class Gap:
    """The difference between stored numbers and their source, as sums over some weights. `same_bytes` says that
    encoding the source again gives the stored bytes, `judged` that mlx reads the numbers that we read. `output` and
    `plain` are squared errors of outputs for recorded inputs: as stored, and in the same format without a record; 0 if
    unknown."""

    weights: int = 0
    error: float = 0.0
    power: float = 0.0
    max_error: float = 0.0
    same_bytes: bool = True
    judged: bool = True
    output: float = 0.0
    plain: float = 0.0

    def add(self, other: Gap) -> None:
        self.weights += other.weights
        self.error += other.error
        self.power += other.power
        self.max_error = max(self.max_error, other.max_error)
        self.same_bytes &= other.same_bytes
        self.judged &= other.judged
        self.output += other.output
        self.plain += other.plain

    @property
    def rel_rmse(self) -> float:
        """Returns sqrt(Σ(ŵ−w)²/Σw²), or only the root of the error if the source is zero everywhere."""
        return math.sqrt(self.error / self.power) if self.power else math.sqrt(self.error)

    @property
    def finite(self) -> bool:
        return math.isfinite(self.error) and math.isfinite(self.power)


@dataclass(frozen=True, slots=True)
class Pair:
    """A piece with the file of each of its stored parts. `judge_all` says that mlx reads every row."""

    piece: Piece
    files: tuple[str, ...]
    judge_all: bool = False


def measure(pair: Pair, source: Reader, bundle: Path, importance: Guide | None = None) -> Gap:
    """Compares one piece of the bundle with its source. If its format weighs errors by an importance file and none is
    given, it is not encoded again. Raises RecipeError if the source cannot be read, OSError if the bundle cannot.

    """
    piece, fmt = pair.piece, pair.piece.format
    _ARENA.begin()
    weight = _span(source, piece.weight)
    scale = None if piece.scale is None else _span(source, piece.scale)
    parts = fmt.parts(piece.source)
    stored = [
        _part(shard_path(bundle, file), part, offset)
        for part, offset, file in zip(parts, piece.offsets, pair.files, strict=True)
    ]
    gap = Gap(math.prod(piece.source.shape))
    if wants_moments(fmt):
        if isinstance(importance, Record):
            _by_record(gap, piece, weight, scale, stored, importance, source)
    elif not fmt.compared and (importance is not None or not wants_importance(fmt)):
        gap.same_bytes = _encoded_alike(piece, weight, scale, stored, columns_of(piece, importance))
    if piece.source.stored == "int":
        gap.max_error = 0.0 if gap.same_bytes or _same_numbers(piece, weight, stored[0]) else math.inf
        return gap
    weight, scale = checked(piece.source, weight, scale)
    rows = piece.source.shape[0] if len(piece.source.shape) == 2 else 1
    step = max(1, _BLOCK * rows // max(1, gap.weights))
    exact_copy = gap.same_bytes and fmt.copies_bits
    judged = rows if pair.judge_all else _JUDGED_ROWS if piece.first_row == 0 else 0
    memory = _ARENA.empty((step, piece.source.shape[1]), np.float32) if rows > 1 else None
    for first in range(0, rows, step):
        last = min(first + step, rows)
        if exact_copy and first >= judged:
            break  # these are the bits of the source, which decode exactly
        exact = (
            decode_rows(piece.source, weight, scale, first, last, memory)
            if rows > 1
            else decode_source(piece.source, weight, scale)
        )
        block = [array[first:last] for array in stored] if rows > 1 else stored
        if first < judged:
            gap.judged &= mlx_agrees(fmt, piece.source, [array[: judged - first] for array in block])
        (error, power, most), alike = gaps(fmt, piece.source, block, exact)
        gap.error, gap.power, gap.max_error = gap.error + error, gap.power + power, max(gap.max_error, most)
        gap.same_bytes &= alike is not False or wants_moments(fmt)
    return gap


def _by_record(
    gap: Gap,
    piece: Piece,
    weight: NDArray[np.uint8],
    scale: NDArray[np.uint8] | None,
    stored: Sequence[NDArray[Any]],
    record: Record,
    source: Reader,
) -> None:
    """Encodes the first rows again with the record, and compares their output error with that of the plain format. All
    rows would take as long as the build."""
    piece, weight, scale = first_rows(piece, weight, scale, _GUIDED_ROWS)
    few = [array[: piece.source.shape[0]] for array in stored]

    def read(span: Span) -> NDArray[np.uint8]:
        return read_span(source, span)

    try:
        again = encode_guided(piece, weight, scale, record, read)
    except ValueError:
        gap.same_bytes = False
        return
    gap.same_bytes = all(same_bytes(a, _bytes(b)) for a, b in zip(again, few, strict=True))
    gap.output, gap.plain = output_errors(piece, weight, scale, few, record, read)


def _encoded_alike(
    piece: Piece,
    weight: NDArray[np.uint8],
    scale: NDArray[np.uint8] | None,
    stored: Sequence[NDArray[Any]],
    columns: NDArray[np.float32] | None,
) -> bool:
    try:
        again = _again(piece, weight, scale, columns)
    except ValueError:  # the format cannot hold the value, or cannot take this source
        return False
    return all(same_bytes(a, _bytes(b)[: a.nbytes]) for a, b in zip(again, stored, strict=True))


def _again(
    piece: Piece, weight: NDArray[np.uint8], scale: NDArray[np.uint8] | None, columns: NDArray[np.float32] | None
) -> tuple[NDArray[Any], ...]:
    """Returns what the encoder makes of a piece. For ggml types that are searched for it encodes only the first rows,
    because all of them would take as long as the build."""
    fmt, source = piece.format, piece.source
    if fmt.searched:
        rows = min(source.shape[0], _AGAIN_ROWS)
        return codec_of(fmt).encode_first(fmt, source, *checked(source, weight, scale), rows, _ARENA.empty, columns)
    return encode(fmt, source, weight, scale, _ARENA.empty, columns)


def _same_numbers(piece: Piece, weight: NDArray[np.uint8], stored: NDArray[Any]) -> bool:
    """Returns whether whole numbers are equal, whatever the width in which they are stored."""
    dtype = piece.format.parts(piece.source)[0].dtype
    ours = weight.view(INTEGERS[piece.source.dtype])
    return dtype in INTEGERS and np.array_equal(ours, _bytes(stored).view(INTEGERS[dtype]))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _part(path: Path, part: Part, offset: int) -> NDArray[Any]:
    raw = _read(path, offset, part.nbytes)
    if part.dtype in BLOCKS:
        return raw.reshape(part.shape[0], -1)
    return raw.view(_DTYPES[part.dtype]).reshape(part.shape) if part.dtype in _DTYPES else raw


def _span(source: Reader, span: Span) -> NDArray[np.uint8]:
    into = _ARENA.empty((span.end - span.start,), np.uint8)
    source.read(span, into.data)
    return into


def _read(path: Path, start: int, size: int) -> NDArray[np.uint8]:
    """Returns bytes of a file. Raises OSError, also if the file ends too early."""
    into = _ARENA.empty((size,), np.uint8)
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        done = 0
        while done < size:
            count = stream.readinto(into.data[done:])
            if not count:
                raise OSError(errno.EIO, "the file ends too early", str(path))
            done += count
    return into
