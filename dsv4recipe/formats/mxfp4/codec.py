"""Floor 1, formats. mxfp4: raw FP4 source rows → words and scales, and back. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import Bytes, Floats
from dsv4recipe.formats.encode import Empty, check_codes
from dsv4recipe.formats.kernels.source import fp4_rows
from dsv4recipe.formats.mxfp4.spec import Mxfp4


def encode(
    fmt: Mxfp4,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty,  # noqa: ARG001 - both are views
    columns: Floats | None = None,  # noqa: ARG001 - a copy weighs no columns
) -> tuple[NDArray[Any], ...]:
    """Copies of the codes and of the scales."""
    assert scale is not None
    check_codes(source, weight, scale)
    words = weight.view(np.uint32).reshape(fmt.parts(source)[0].shape)
    return words, scale.reshape(source.shape[0], source.shape[1] // 32)


def decode(fmt: Mxfp4, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:  # noqa: ARG001
    """Exact."""
    words, scales = (np.ascontiguousarray(a) for a in arrays)
    out = np.empty(source.shape, np.float32)
    fp4_rows(words.view(np.uint8), scales, out)
    return out
