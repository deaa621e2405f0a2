"""Floor 1, formats. Stored bytes → float32: of a source tensor, exactly, and of what an encoder wrote. This module is
pure.

Rows are those of the raw bytes given; nothing here knows files. `verify` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import ITEM_SIZE, Format, SourceTensor
from dsv4recipe.formats.codec import codec_of
from dsv4recipe.formats.exponents import exponents
from dsv4recipe.formats.kernels import source as source_kernels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
INTEGERS = {"BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8",
            "U64": "<u8"}  # fmt: skip
"""numpy type of each safetensors integer dtype."""


def rows_of(source: SourceTensor) -> tuple[int, int]:
    """Returns (rows, columns) of a source tensor of any rank: the last axis is the columns."""
    columns = source.shape[-1] if source.shape else 1
    return (prod(source.shape) // columns if columns else 0), columns


def stored_sizes(source: SourceTensor) -> tuple[int, int]:
    """Returns bytes of the weight and of the scale of `source` as stored; the latter 0 for plain tensors."""
    rows, columns = rows_of(source)
    wide = ITEM_SIZE[source.scales or "F8_E8M0"]
    if source.stored == "fp4":
        return rows * columns // 2, rows * -(-columns // 32) * wide
    if source.stored == "fp8":
        return rows * columns, -(-rows // source.tile[0]) * -(-columns // source.tile[1]) * wide
    return rows * columns * ITEM_SIZE[source.dtype], 0


def raw(source: SourceTensor, weight: Bytes, scale: Bytes | None) -> tuple[Bytes, Bytes | None]:
    """Read-only views of the raw bytes: one type of array, so that each kernel is compiled once. Scales come out as
    E8M0 bytes whatever they were stored as, NaN for what is no power of two; bytes are left as they are.

    Raises ValueError where they are not those of `source.shape`: a caller's mistake, not a user's.
    """
    if scale is not None and source.scales and scale.nbytes == stored_sizes(source)[1]:
        scale = exponents(source.scales, scale)
    source = replace(source, scales="")
    given = (weight.nbytes, 0 if scale is None else scale.nbytes)
    if given != stored_sizes(source):
        raise ValueError(f"{source} needs {stored_sizes(source)} bytes of weight and scale, not {given}")
    views = [None if array is None else array.view(np.uint8) for array in (weight, scale)]
    for view in views:
        if view is not None:
            view.flags.writeable = False
    return views[0], views[1]  # type: ignore[return-value]


def decode_rows(
    source: SourceTensor, weight: Bytes, scale: Bytes | None, start: int, stop: int, into: Floats | None = None
) -> Floats:
    """Returns float32 [stop - start, columns]: rows `start`…`stop` of the raw bytes of all rows of `source`.

    Exact. Codes without a finite float32 value become NaN or Inf. Uses the memory of `into`, of at least that many
    rows, if given.
    """
    rows, columns = rows_of(source)
    data = weight.reshape(rows, -1)[start:stop]
    out = np.empty((stop - start, columns), np.float32) if into is None else into[: stop - start]
    if source.stored in ("f32", "f16"):
        out[...] = data.view("<f4" if source.stored == "f32" else "<f2")
    elif source.stored == "bf16":
        source_kernels.bf16_values(data.view("<u2").ravel(), out.view(np.uint32).ravel())
    elif source.stored == "fp4" and scale is not None:
        source_kernels.fp4_rows(data, scale.reshape(rows, -1)[start:stop], out)
    elif source.stored == "fp8" and scale is not None:
        tiles = scale.reshape(-(-rows // source.tile[0]), -1)
        source_kernels.fp8_rows(data, tiles, source.tile, start, out)
    else:
        raise ValueError(f"{source.dtype} stored as {source.stored!r} has no float32 values")
    return out


def decode_source(source: SourceTensor, weight: Bytes, scale: Bytes | None) -> Floats:
    """Returns float32 of `source.shape`: raw weight and scale bytes exactly."""
    weight, scale = raw(source, weight, scale)
    if source.stored == "int":
        return exact_floats(weight.view(INTEGERS[source.dtype]), source)
    return decode_rows(source, weight, scale, 0, rows_of(source)[0]).reshape(source.shape)


def exact_floats(values: NDArray[Any], source: SourceTensor) -> Floats:
    """Returns whole numbers as float32 of `source.shape`. Raises ValueError where float32 does not hold them."""
    floats = values.astype(np.float32)
    if not np.array_equal(floats.astype(np.float64), values.astype(np.float64)):
        raise ValueError(f"{source.dtype} values are beyond float32's whole numbers; compare the stored bytes instead")
    return floats.reshape(source.shape)


def widen(values: NDArray[Any], dtype: str) -> Floats:
    """Stored half or single floats (uint16 bits for BF16 and F16) → float32 of the same shape."""
    if dtype == "F16":
        return values.view("<f2").astype(np.float32)
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values, np.float32)


def decode_parts(fmt: Format, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    """Returns float32 of `source.shape`: what a runtime makes of `arrays`, the parts that `encode` returned."""
    return codec_of(fmt).decode(fmt, source, arrays)
