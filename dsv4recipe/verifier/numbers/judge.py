"""Floor 4, verifier (step 3). Lets mlx, as an independent decoder, read a few stored rows, and compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats import Format, SourceTensor
from dsv4recipe.formats.codec import optional
from dsv4recipe.formats.decode import decode_parts, widen

Arrays = Sequence[NDArray[Any]]
_ULPS = 2.0**-20
"""The tolerance as a share of the largest value, because mlx may fuse a multiplication with an addition."""


def mlx_agrees(fmt: Format, source: SourceTensor, few: Arrays) -> bool:
    """Returns whether mlx reads rows as our decoder does, up to the last bits. Formats that mlx has are read through
    `mx.dequantize`, others through the mlx functions that their codec names. Other formats count as agreeing."""
    few = [np.ascontiguousarray(array) for array in few]
    theirs = _read(fmt, source, few)
    if theirs is None:
        return True
    ours = decode_parts(fmt, replace(source, shape=theirs.shape), few)
    unit = np.abs(ours).max(initial=0.0) * _ULPS
    return bool(np.array_equal(ours, theirs) or (np.abs(theirs - ours) <= unit).all())


def _read(fmt: Format, source: SourceTensor, few: Arrays) -> NDArray[np.float32] | None:
    import mlx.core as mx

    by_codec = optional(fmt, "decode_by_mlx")
    with mx.stream(mx.cpu):
        if by_codec is not None:
            return np.array(by_codec(mx, fmt, source, few))
        how = fmt.quantization()
        if how is None:
            return None
        dtypes = [part.dtype for part in fmt.parts(source)]
        read: Any = mx.dequantize
        arrays = (
            mx.array(array if dtype in ("U32", "U8") else widen(array, dtype))
            for array, dtype in zip(few, dtypes, strict=True)
        )
        return np.array(read(*arrays, **how, dtype=mx.float32))
