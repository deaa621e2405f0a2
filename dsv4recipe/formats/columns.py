"""Floor 1, formats. What each column counts for, as encoders take it: a vector of any scale → one near 1. This module
is pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 2.0**-40
"""What a column counts at least, where the mean is 1 to 4. At zero ggml loses the whole block, in silence; from about
2^-50 on its float32 goes wrong too."""


def column_weights(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Returns float32 [columns]: `values` times a power of four, so that their mean is 1 to 4, and nothing below
    `LEAST`; ones where all are zero (a matrix that is zero itself).

    Ratios stay, and so do bytes: IQ2_XXS takes square roots, which a factor of 2 would round otherwise. A quantizer
    that is given numbers of 1e-30 loses its own arithmetic (docs/reference/formats.md). The sum is exact
    (`math.fsum`), so the same numbers come out on every machine.
    Raises ValueError for a value that is negative or not finite.
    """
    if not np.isfinite(values).all() or values.min(initial=0.0) < 0:
        raise ValueError("an importance value is negative or not finite")
    mean = math.fsum(values.tolist()) / max(1, values.size)
    if not mean:
        return np.ones(values.shape, np.float32)
    exponent = math.frexp(mean)[1] - 1
    scaled = np.ldexp(values.astype(np.float64), -(exponent // 2 * 2))
    return np.maximum(scaled, LEAST).astype(np.float32)
