"""Floor 1, formats. Plain copies and casts: raw source rows → one array, and back. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import INTEGERS, Bytes, Floats, exact_floats, rows_of, widen
from dsv4recipe.formats.encode import BadValue, Empty, blocks, narrow
from dsv4recipe.formats.keep.spec import Keep


def encode(
    fmt: Keep,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty,
    columns: Floats | None = None,  # noqa: ARG001 - a copy weighs no columns
) -> tuple[NDArray[Any], ...]:
    """Returns one array, as `plain` gives it."""
    return (plain(fmt.dtype, source, weight, scale, empty),)


def plain(dtype: str, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty) -> NDArray[Any]:
    """Returns rows cast to a float dtype: float32, or uint16 bits of BF16 and F16; integers as they are stored."""
    if source.stored == "int":
        return weight.view(INTEGERS[source.dtype]).reshape(source.shape)
    if dtype not in ("F32", "BF16", "F16"):
        raise ValueError(f"{source.dtype} can be kept as F32, BF16 or F16, but not as {dtype}")
    rows, columns = rows_of(source)
    out = empty((rows, columns), np.float32 if dtype == "F32" else np.uint16)
    for start, block in blocks(source, weight, scale, empty):
        beyond = narrow(block, dtype, out[start : start + len(block)])
        if beyond >= 0:
            row, column = divmod(beyond, columns)
            raise BadValue(start + row, column, f"{block[row, column]:g} overflows {dtype}")
    return out.reshape(source.shape)


def decode(fmt: Keep, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    """Exact; ValueError for integers beyond float32's whole numbers."""
    (values,) = arrays
    if source.stored == "int":
        return exact_floats(values, source)
    return widen(np.ascontiguousarray(values), fmt.dtype).reshape(source.shape)
