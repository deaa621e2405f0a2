"""Floor 1, formats. mxfp8: raw FP8 source rows → words and scales, and back. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import Bytes, Floats
from dsv4recipe.formats.encode import Empty, check_codes
from dsv4recipe.formats.kernels.source import mxfp8_rows
from dsv4recipe.formats.mxfp8.spec import Mxfp8


def encode(
    fmt: Mxfp8,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty,
    columns: Floats | None = None,  # noqa: ARG001 - a copy weighs no columns
) -> tuple[NDArray[Any], ...]:
    """Copies of the codes; a tile's scale is repeated over its rows and groups of 32 columns."""
    assert scale is not None
    check_codes(source, weight, scale)
    rows, width = source.shape
    words = weight.view(np.uint32).reshape(fmt.parts(source)[0].shape)
    tiles = scale.reshape(-(-rows // source.tile[0]), -1)
    across = np.repeat(tiles, source.tile[1] // 32, axis=1)[:, : width // 32]
    spread = empty((rows, width // 32), np.uint8)
    spread[...] = np.repeat(across, source.tile[0], axis=0)[:rows]
    return words, spread


def decode(fmt: Mxfp8, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:  # noqa: ARG001
    """Exact."""
    words, scales = (np.ascontiguousarray(a) for a in arrays)
    out = np.empty(source.shape, np.float32)
    mxfp8_rows(words.view(np.uint8), scales, out)
    return out
