"""Floor 1, formats. Raw source rows → one tensor of a ggml type, byte for byte what a GGUF file holds. This module is
pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import BLOCKS, SourceTensor
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import INTEGERS, Bytes, Floats, exact_floats, widen
from dsv4recipe.formats.encode import BadValue, Empty, blocks, check_codes
from dsv4recipe.formats.ggml.library import check_library, dequantize, library_version, quantize
from dsv4recipe.formats.ggml.spec import WEIGHTED, Ggml
from dsv4recipe.formats.keep.codec import plain
from dsv4recipe.formats.kernels.energy import add_squares

__all__ = ["check_library", "decode", "encode", "encode_first", "library_version"]


def encode(
    fmt: Ggml, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty, columns: Floats | None = None
) -> tuple[NDArray[Any], ...]:
    """Returns the rows as ggml stores them: block types uint8 [rows, bytes of a row], F32 float32, F16 and BF16 uint16
    bits, I32 int32, in `source.shape`.

    For `importance: energy` the rows are the whole matrix; for `importance: file` the vector is given.
    Raises BadValue as `formats.encode.encode` does.
    """
    if fmt.type == "I32":
        return (_narrow_integers(weight.view(INTEGERS[source.dtype]).reshape(source.shape)),)
    if fmt.type not in BLOCKS:
        return (plain(fmt.type, source, weight, scale, empty),)
    if fmt.type == "MXFP4":
        assert scale is not None
        return (_mxfp4(source, weight, scale, empty),)
    return encode_first(fmt, source, weight, scale, source.shape[0], empty, columns)


def encode_first(
    fmt: Ggml,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    rows: int,
    empty: Empty = np.empty,
    columns: Floats | None = None,
) -> tuple[NDArray[np.uint8], ...]:
    """Returns the first `rows` rows of what the stock quantizer makes of a matrix: uint8 [rows, bytes of a row].
    `columns` is the vector of `importance: file`, of any scale."""
    weights, size = BLOCKS[fmt.type]
    out = empty((rows, source.shape[1] // weights * size), np.uint8)
    importance = _importance(fmt, source, weight, scale, columns) if fmt.type in WEIGHTED else None
    for start, block in blocks(source, weight, scale):
        if start >= rows:
            break
        few = block[: rows - start]
        quantize(fmt.type, few, importance, out[start : start + len(few)])
    return (out,)


def decode(fmt: Ggml, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    """Blocks by the package gguf; plain numbers exactly. Raises RecipeError F001."""
    (values,) = (np.ascontiguousarray(a) for a in arrays)
    if fmt.type in BLOCKS:
        return dequantize(fmt.type, values)
    return exact_floats(values, source) if source.stored == "int" else widen(values, fmt.type).reshape(source.shape)


def _importance(
    fmt: Ggml, source: SourceTensor, weight: Bytes, scale: Bytes | None, given: Floats | None
) -> Floats | None:
    match fmt.importance:
        case "none":
            return None
        case "ones":
            return np.ones(source.shape[1], np.float32)
        case "energy":
            energy = np.zeros(source.shape[1], np.float64)
            for _, block in blocks(source, weight, scale):
                add_squares(block, energy)
            return column_weights(energy)
        case "file" | "record" if given is not None:
            return column_weights(given)
    raise ValueError(f"there is no importance {fmt.importance!r} to encode with")


def _narrow_integers(values: NDArray[Any]) -> NDArray[np.int32]:
    beyond = (values > np.iinfo(np.int32).max) | (values < np.iinfo(np.int32).min)
    if beyond.any():
        row, column = divmod(int(beyond.argmax()), values.shape[-1])
        raise BadValue(row, column, f"{values.reshape(-1)[beyond.argmax()]} overflows I32")
    return values.astype("<i4")


def _mxfp4(source: SourceTensor, weight: Bytes, scale: Bytes, empty: Empty) -> NDArray[np.uint8]:
    """FP4 codes with their scales, bit for bit: per 32 columns the E8M0 byte, then byte j holds columns j (low nibble)
    and j + 16, where the source's byte j holds columns 2j and 2j + 1."""
    check_codes(source, weight, scale)
    rows, columns = source.shape
    pairs = weight.reshape(rows, columns // 32, 16)
    codes = np.empty((rows, columns // 32, 32), np.uint8)
    codes[..., 0::2], codes[..., 1::2] = pairs & 15, pairs >> 4
    out = empty((rows, columns // 32, 17), np.uint8)
    out[..., 0] = scale.reshape(rows, columns // 32)
    out[..., 1:] = codes[..., :16] | codes[..., 16:] << 4
    return out.reshape(rows, -1)
