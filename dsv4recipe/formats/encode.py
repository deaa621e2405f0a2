"""Floor 1, formats. Raw source rows → the arrays a format stores, byte for byte what goes on disk. This module is pure.

Every format works row by row, so rows may come in any split, from any thread; the kernels release the GIL. Strict
IEEE float32: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import Format, SourceTensor, wants_importance, wants_moments
from dsv4recipe.formats.codec import codec_of
from dsv4recipe.formats.decode import Bytes, Floats, decode_rows, raw, rows_of
from dsv4recipe.formats.kernels import casts
from dsv4recipe.formats.kernels import source as source_kernels

ENCODER_VERSION = "2"
"""Changes whenever the bytes of any encoder could change. Recorded in the manifest."""

Empty = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""`numpy.empty`, or a replacement with which a caller reuses memory."""

_BLOCK = 1 << 17  # weights at a time: 512 KiB of float32, to stay in a second-level cache
_OVERFLOW = {"fp4": 253, "fp8": 247}  # least E8M0 byte with which a code's value can leave float32: 4·2^126, 256·2^120


class BadValue(ValueError):  # noqa: N818 - a value, not a mistake of the program
    """A source value that has no place in the output: not finite, or beyond the range of the type asked for.

    `row` and `column` count from 0 within the rows given to `encode`.
    """

    def __init__(self, row: int, column: int, reason: str):
        super().__init__(f"row {row}, column {column}: {reason}")
        self.row = row
        self.column = column
        self.reason = reason


class NoScale(BadValue):
    """A scale of the source, stored as a float, that is not a power of two, so FP4 and FP8 codes would not stay
    exact."""


class NotExact(BadValue):
    """A group that an exact format cannot hold exactly. Its first column is named."""


def encode(
    fmt: Format,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty = np.empty,
    importance: Floats | None = None,
) -> tuple[NDArray[Any], ...]:
    """Returns one C-contiguous array per `fmt.parts(source)`, in that order and of those shapes.

    What is stored as it came are views of `weight` and `scale`; other arrays are made by `empty(shape, dtype)`.

    weight: uint8 [bytes], whole rows as stored; scale: their raw E8M0 bytes, uint8, None for plain tensors.
    `source.shape` is the logical shape of just those rows; FP8 rows start at a tile boundary, the last tile may be
    partial. Arrays hold uint32 words, uint16 bits for BF16 and F16, float32, uint8, or integers as stored.
    `importance` float32 [columns], of any scale, is what `wants_importance` formats weigh errors with.
    Raises BadValue for NaN, Inf and overflow, and where an exact format is not; ValueError where the format cannot
    take this source, or importance is missing, not wanted, of another width, negative or not finite.
    """
    weight, scale = raw(source, weight, scale)
    problem = fmt.problem(source)
    if problem:
        raise ValueError(problem)
    if wants_moments(fmt):
        raise ValueError(f"{fmt.kind} with fit: gptq needs the moments of its inputs; use `calibrated.encode`")
    if wants_importance(fmt) != (importance is not None):
        raise ValueError(f"{fmt.kind} with importance {'and none given' if importance is None else 'that it ignores'}")
    if importance is not None and (importance.shape != source.shape[-1:] or importance.dtype != np.float32):
        raise ValueError(f"importance of {importance.dtype} {importance.shape} for {source.shape[-1]} columns")
    return codec_of(fmt).encode(fmt, source, weight, scale, empty, importance)


def spans_of(rows: int, columns: int, step: int = 0) -> list[tuple[int, int]]:
    """Row ranges of `step` rows, or of about `_BLOCK` weights, a multiple of 8 rows each but the last."""
    step = step or max(8, _BLOCK // max(columns, 1) // 8 * 8)
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def blocks(
    source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty = np.empty, step: int = 0
) -> Iterator[tuple[int, Floats]]:
    """Yields (first row, float32 rows) block by block, of `step` rows where given, every value finite. A block (of
    `empty`) is gone with the next."""
    rows, columns = rows_of(source)
    spans = spans_of(rows, columns, step)
    memory = empty((spans[0][1] if spans else 0, columns), np.float32)
    for start, stop in spans:
        block = decode_rows(source, weight, scale, start, stop, memory)
        index = source_kernels.first_not_finite(block.view(np.int32).ravel())
        if index >= 0:
            row, column = divmod(index, columns)
            kind = NoScale if source.scales and np.isnan(block[row, column]) else BadValue
            raise kind(start + row, column, _why(source, float(block[row, column])))
        yield start, block


def _why(source: SourceTensor, value: float) -> str:
    coded = source.stored in _OVERFLOW
    if np.isnan(value) and source.scales:
        return f"NaN in the source, or a scale of dtype {source.scales} that is no power of two,"
    if np.isnan(value):
        return "NaN in the source" + (" (its code or its E8M0 scale)" if coded else "")
    return "the value overflows float32" if coded else "Inf in the source"


def check_codes(source: SourceTensor, weight: Bytes, scale: Bytes | None) -> None:
    """Refuses FP4 and FP8 bytes with a value that is not finite; decodes only where a scan finds a reason to."""
    assert scale is not None
    suspect = bool(scale.size) and int(scale.max()) >= _OVERFLOW[source.stored]
    if suspect or (source.stored == "fp8" and source_kernels.any_fp8_nan(weight)):
        for _ in blocks(source, weight, scale):
            pass


def narrow(values: Floats, dtype: str, out: NDArray[Any]) -> int:
    """Returns float32 → `out`, float32 for "F32", uint16 bits for "BF16" and "F16": to nearest, ties to even.

    Both C-contiguous, same shape. Returns the flat index of the first value that is not finite in `dtype`, or -1.
    """
    bits = values.view(np.uint32).ravel()
    if dtype == "F32":
        out[...] = values
        return int(source_kernels.first_not_finite(bits.view(np.int32)))
    cast = casts.bf16_bits if dtype == "BF16" else casts.f16_bits
    return int(cast(bits, out.ravel()))


def arrays_of(fmt: Format, source: SourceTensor, empty: Empty) -> list[NDArray[Any]]:
    """Arrays for the parts of a format: uint32 words, float32, and uint16 bits of half types."""
    types = {"U32": np.uint32, "F32": np.float32}
    return [empty(part.shape, types.get(part.dtype, np.uint16)) for part in fmt.parts(source)]
