"""Floor 1, formats. MXTQ: raw source rows → packed codes and norms, and back. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import Bytes, Floats, widen
from dsv4recipe.formats.encode import BadValue, Empty, arrays_of, blocks, narrow
from dsv4recipe.formats.kernels.compare import Gaps, same_bytes
from dsv4recipe.formats.mxtq.codebooks import block_scales, boundaries, codebook, hadamard_blocks, signs
from dsv4recipe.formats.mxtq.kernels import codec as mxtq
from dsv4recipe.formats.mxtq.kernels.compare import mxtq_distance
from dsv4recipe.formats.mxtq.spec import Mxtq


def encode(
    fmt: Mxtq,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty,
    columns: Floats | None = None,  # noqa: ARG001 - MXTQ weighs no columns
) -> tuple[NDArray[Any], ...]:
    packed, stored = arrays_of(fmt, source, empty)
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


def decode(fmt: Mxtq, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    packed, norms = (np.ascontiguousarray(a) for a in arrays)
    width = source.shape[1]
    out = np.empty(source.shape, np.float32)
    blocks = np.array(hadamard_blocks(width), np.int64)
    levels = codebook(width, fmt.bits)
    mxtq.dequantize(
        packed, widen(norms, "F16"), signs(width, fmt.seed), blocks, block_scales(width), levels, fmt.bits, out
    )
    return out


@lru_cache(maxsize=16)
def _constants(width: int, fmt: Mxtq) -> tuple[tuple[NDArray[Any], ...], Floats]:
    """Returns what the kernels take, kept: to draw the signs takes as long as to compare a block of rows."""
    sizes = np.array(hadamard_blocks(width), np.int64)
    constants = (signs(width, fmt.seed), sizes, block_scales(width), boundaries(width, fmt.bits))
    return constants, codebook(width, fmt.bits)


def gaps(
    fmt: Mxtq,
    source: SourceTensor,  # noqa: ARG001 - the signature of a codec
    arrays: Sequence[NDArray[Any]],
    exact: Floats,
) -> tuple[Gaps | None, bool | None]:
    """As `formats.compare.gaps`."""
    packed, stored = arrays
    constants, levels = _constants(exact.shape[1], fmt)
    found, alike, norms = mxtq_distance(packed, widen(stored, "F16"), constants, levels, exact)
    again = np.empty(norms.shape, np.uint16)
    finite = narrow(norms, "F16", again) < 0
    return found, alike and finite and same_bytes(again, stored)


def decode_by_mlx(mx: Any, fmt: Mxtq, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Any:
    """Codebook levels times norms, rotated back by `mx.hadamard_transform`, signs undone."""
    width = source.shape[1]
    shifts = mx.arange(0, 32, fmt.bits, dtype=mx.uint32)
    codes = mx.bitwise_and(mx.right_shift(mx.array(arrays[0])[:, :, None], shifts), (1 << fmt.bits) - 1)
    levels = mx.take(mx.array(codebook(width, fmt.bits)), codes.reshape(arrays[0].shape[0], width))
    rotated = levels * mx.array(widen(arrays[1], "F16"))[:, None]
    blocks = mx.split(rotated, np.cumsum(hadamard_blocks(width))[:-1].tolist(), axis=1)
    read = mx.concatenate([mx.hadamard_transform(block) for block in blocks], axis=1)
    return read * mx.array(signs(width, fmt.seed))
