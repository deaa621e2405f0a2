"""Floor 1, formats. Raw source rows → the arrays a format stores, byte for byte what goes on disk. Pure.

Every format works row by row, so rows may come in any split, from any thread; the kernels release the GIL. Strict
IEEE float32: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.affine.kernels import fit
from dsv4recipe.formats.affine.kernels import quantize as affine
from dsv4recipe.formats.affine.lattices import seeds
from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format, SourceTensor, wants_importance, wants_moments
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import INTEGERS, Bytes, Floats, decode_rows, raw, rows_of
from dsv4recipe.formats.ggml.spec import Ggml
from dsv4recipe.formats.keep.spec import Keep
from dsv4recipe.formats.kernels import casts
from dsv4recipe.formats.kernels import source as source_kernels
from dsv4recipe.formats.mxfp4.spec import Mxfp4
from dsv4recipe.formats.mxfp8.spec import Mxfp8
from dsv4recipe.formats.mxtq.codebooks import block_scales, boundaries, hadamard_blocks, signs
from dsv4recipe.formats.mxtq.kernels import codec as mxtq
from dsv4recipe.formats.mxtq.spec import Mxtq

ENCODER_VERSION = "2"
"""Changes whenever the bytes of any encoder could change. Recorded in the manifest."""

Empty = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""`numpy.empty`, or what a caller puts in its place to use memory again."""

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
    """One C-contiguous array per `fmt.parts(source)`, in that order and of those shapes.

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
        raise ValueError(f"{fmt.kind} with fit: gptq takes the moments of its inputs: `calibrated.encode`")
    if wants_importance(fmt) != (importance is not None):
        raise ValueError(f"{fmt.kind} with importance {'and none given' if importance is None else 'that it ignores'}")
    if importance is not None and (importance.shape != source.shape[-1:] or importance.dtype != np.float32):
        raise ValueError(f"importance of {importance.dtype} {importance.shape} for {source.shape[-1]} columns")
    match fmt:
        case Affine():
            columns = None if importance is None else column_weights(importance)
            return _affine(fmt, source, weight, scale, empty, columns)
        case Mxtq():
            return _mxtq(fmt, source, weight, scale, empty)
        case Mxfp4() | Mxfp8():
            return _microscaling(fmt, source, weight, scale, empty)
        case Keep():
            return (keep(fmt, source, weight, scale, empty),)
        case Ggml():
            from dsv4recipe.formats.ggml.encode import encode_ggml

            return (encode_ggml(fmt, source, weight, scale, empty, importance),)
    raise ValueError(f"no encoder for format {fmt.kind!r}")


def _spans(rows: int, columns: int, step: int = 0) -> list[tuple[int, int]]:
    """Row ranges of `step` rows, or of about `_BLOCK` weights, a multiple of 8 rows each but the last."""
    step = step or max(8, _BLOCK // max(columns, 1) // 8 * 8)
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def blocks(
    source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty = np.empty, step: int = 0
) -> Iterator[tuple[int, Floats]]:
    """(first row, float32 rows) block by block, of `step` rows where given, every value finite. A block (of `empty`)
    is gone with the next."""
    rows, columns = rows_of(source)
    spans = _spans(rows, columns, step)
    memory = empty((spans[0][1] if spans else 0, columns), np.float32)
    for start, stop in spans:
        block = decode_rows(source, weight, scale, start, stop, memory)
        index = source_kernels.first_not_finite(block.view(np.int32).ravel())
        if index >= 0:
            row, column = divmod(index, columns)
            raise BadValue(start + row, column, _why(source, float(block[row, column])))
        yield start, block


def _why(source: SourceTensor, value: float) -> str:
    coded = source.stored in _OVERFLOW
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
    """float32 → `out`, float32 for "F32", uint16 bits for "BF16" and "F16": to nearest, ties to even.

    Both C-contiguous, same shape. Returns the flat index of the first value that is not finite in `dtype`, or -1.
    """
    bits = values.view(np.uint32).ravel()
    if dtype == "F32":
        out[...] = values
        return int(source_kernels.first_not_finite(bits.view(np.int32)))
    cast = casts.bf16_bits if dtype == "BF16" else casts.f16_bits
    return int(cast(bits, out.ravel()))


def _arrays(fmt: Format, source: SourceTensor, empty: Empty) -> list[NDArray[Any]]:
    types = {"U32": np.uint32, "F32": np.float32}
    return [empty(part.shape, types.get(part.dtype, np.uint16)) for part in fmt.parts(source)]


def _affine(
    fmt: Affine, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty, importance: Floats | None
) -> tuple[NDArray[Any], ...]:
    dtype = fmt.parts(source)[1].dtype
    words, scales, biases = _arrays(fmt, source, empty)
    rows, columns = source.shape
    spans = _spans(rows, columns)
    # Scales and biases: two to store and two to choose codes with; minmax stores the latter.
    chosen = empty((4, spans[0][1] if spans else 0, columns // fmt.group_size), np.float32)
    decoded: Iterator[tuple[int, Floats]] = iter(())
    if source.stored == "fp4" and scale is not None:
        check_codes(source, weight, scale)
        packed, exponents = weight.reshape(rows, columns // 2), scale.reshape(rows, columns // 32)
    else:
        decoded = blocks(source, weight, scale, empty)
    fitted, first = (fmt.fit != "minmax"), 2 if fmt.fit == "minmax" else 0
    for start, stop in spans:
        part, four = slice(start, stop), chosen[:, : stop - start]
        if source.stored == "fp4":
            if fitted:
                fit_fp4(fmt, dtype, packed[part], exponents[part], importance, start, four)
            affine.quantize_fp4(
                packed[part], exponents[part], fmt.bits, fmt.group_size, words[part], four[2], four[3], fitted
            )
        else:
            block = next(decoded)[1]
            if fitted:
                weights = np.ones(columns, np.float32) if importance is None else importance
                fit.fit_f32(block, weights, fmt.bits, fmt.group_size, dtype, four)
            affine.quantize_f32(block, fmt.bits, fmt.group_size, words[part], four[2], four[3], fitted)
        for what, values, stored in (("scale", four[first], scales), ("bias", four[first + 1], biases)):
            beyond = narrow(values, dtype, stored[part])
            if beyond >= 0:
                row, group = divmod(beyond, values.shape[1])
                raise BadValue(start + row, group * fmt.group_size, f"the group's {what} overflows {fmt.scales}")
    return words, scales, biases


def fit_fp4(
    fmt: Affine, dtype: str, packed: Bytes, exponents: Bytes, importance: Floats | None, start: int, four: Floats
) -> None:
    """Scales and biases of rows `start`… → `four`, as the fit kernel gives them. Raises NotExact."""
    lattices = seeds(fmt.bits) if fmt.fit == "mse" else None
    other = fit.fit_fp4(packed, exponents, importance, fmt.bits, fmt.group_size, dtype, lattices, four)
    if other >= 0:
        row, group = divmod(other, four.shape[2])
        reason = f"{fmt.bits}-bit codes with {fmt.scales} scales do not hold these {fmt.group_size} values exactly"
        raise NotExact(start + row, group * fmt.group_size, reason)


def _mxtq(
    fmt: Mxtq, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty
) -> tuple[NDArray[Any], ...]:
    packed, stored = _arrays(fmt, source, empty)
    rows, width = source.shape
    norms, lanes = np.empty(rows, np.float32), empty((width * mxtq.LANES,), np.float32)
    flips, scales = signs(width, fmt.seed), block_scales(width)
    sizes, edges = np.array(hadamard_blocks(width), np.int64), boundaries(width, fmt.bits)
    for start, block in blocks(source, weight, scale, empty):
        part = slice(start, start + len(block))
        mxtq.quantize(block, flips, sizes, scales, edges, fmt.bits, lanes, packed[part], norms[part])
    beyond = narrow(norms, "F16", stored)
    if beyond >= 0:
        raise BadValue(beyond, 0, "the row's norm overflows float16")
    return packed, stored


def _microscaling(
    fmt: Mxfp4 | Mxfp8, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty
) -> tuple[NDArray[Any], ...]:
    """Copies of the bits; a tile's scale is repeated over its rows and groups of 32 columns."""
    assert scale is not None
    check_codes(source, weight, scale)
    rows, columns = source.shape
    words = weight.view(np.uint32).reshape(fmt.parts(source)[0].shape)
    if isinstance(fmt, Mxfp4):
        return words, scale.reshape(rows, columns // 32)
    tiles = scale.reshape(-(-rows // source.tile[0]), -1)
    across = np.repeat(tiles, source.tile[1] // 32, axis=1)[:, : columns // 32]
    spread = empty((rows, columns // 32), np.uint8)
    spread[...] = np.repeat(across, source.tile[0], axis=0)[:rows]
    return words, spread


def keep(fmt: Keep, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty) -> NDArray[Any]:
    if source.stored == "int":
        return weight.view(INTEGERS[source.dtype]).reshape(source.shape)
    if fmt.dtype not in ("F32", "BF16", "F16"):
        raise ValueError(f"{source.dtype} is kept as F32, BF16 or F16, not as {fmt.dtype}")
    rows, columns = rows_of(source)
    out = empty((rows, columns), np.float32 if fmt.dtype == "F32" else np.uint16)
    for start, block in blocks(source, weight, scale, empty):
        beyond = narrow(block, fmt.dtype, out[start : start + len(block)])
        if beyond >= 0:
            row, column = divmod(beyond, columns)
            raise BadValue(start + row, column, f"{block[row, column]:g} overflows {fmt.dtype}")
    return out.reshape(source.shape)
