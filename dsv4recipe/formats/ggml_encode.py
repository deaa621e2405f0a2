"""Floor 1, formats. Raw source rows → one tensor of a ggml type, byte for byte what a GGUF file holds. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import BLOCKS, SourceTensor
from dsv4recipe.formats.decode import INTEGERS, Bytes
from dsv4recipe.formats.encode import BadValue, Empty, blocks, check_codes, keep
from dsv4recipe.formats.ggml import WEIGHTED, Ggml
from dsv4recipe.formats.ggml_library import quantize
from dsv4recipe.formats.keep import Keep
from dsv4recipe.formats.kernels.energy import add_squares

LEAST = 2.0**-20
"""The least importance, where the mean is 1 to 4. At zero ggml loses the whole block, in silence."""


def encode_ggml(fmt: Ggml, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty) -> NDArray[Any]:
    """The rows as ggml stores them: block types uint8 [rows, bytes of a row], F32 float32, F16 and BF16 uint16 bits,
    I32 int32, in `source.shape`.

    For `importance: energy` the rows are the whole matrix. Raises BadValue as `encode` does.
    """
    if fmt.type == "I32":
        return _narrow_integers(weight.view(INTEGERS[source.dtype]).reshape(source.shape))
    if fmt.type not in BLOCKS:
        return keep(Keep(fmt.type), source, weight, scale, empty)
    if fmt.type == "MXFP4":
        assert scale is not None
        return _mxfp4(source, weight, scale, empty)
    return encode_rows(fmt, source, weight, scale, source.shape[0], empty)


def encode_rows(
    fmt: Ggml, source: SourceTensor, weight: Bytes, scale: Bytes | None, rows: int, empty: Empty = np.empty
) -> NDArray[np.uint8]:
    """The first `rows` rows of what the stock quantizer makes of a matrix: uint8 [rows, bytes of a row]."""
    weights, size = BLOCKS[fmt.type]
    out = empty((rows, source.shape[1] // weights * size), np.uint8)
    importance = _importance(fmt, source, weight, scale) if fmt.type in WEIGHTED else None
    for start, block in blocks(source, weight, scale):
        if start >= rows:
            break
        few = block[: rows - start]
        quantize(fmt.type, few, importance, out[start : start + len(few)])
    return out


def usable_importance(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """float32 [columns] that ggml can weigh with: times a power of four, so that the mean is 1 to 4 and no byte moves
    (IQ2_XXS takes square roots: a factor of 2 would round otherwise), and nothing below `LEAST`. All zero (an expert
    that saw nothing) means ones.

    Raises ValueError for a value that is negative or not finite.
    """
    if not np.isfinite(values).all() or values.min(initial=0.0) < 0:
        raise ValueError("an importance is negative or not finite")
    mean = math.fsum(values.tolist()) / max(1, values.size)
    if not mean:
        return np.ones(values.shape, np.float32)
    exponent = math.frexp(mean)[1] - 1
    scaled = np.ldexp(values.astype(np.float64), -(exponent // 2 * 2))
    return np.maximum(scaled, LEAST).astype(np.float32)


def _importance(fmt: Ggml, source: SourceTensor, weight: Bytes, scale: Bytes | None) -> NDArray[np.float32] | None:
    match fmt.importance:
        case "none":
            return None
        case "ones":
            return np.ones(source.shape[1], np.float32)
        case "energy":
            energy = np.zeros(source.shape[1], np.float64)
            for _, block in blocks(source, weight, scale):
                add_squares(block, energy)
            return usable_importance(energy)
    raise ValueError(f"no importance {fmt.importance!r} to encode with")


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
