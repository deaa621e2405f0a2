"""Floor 1, formats, kernels, fit. The judge decodes as runtimes do, and stays with minmax unless a fit is better."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.fit.numbers import LIMIT, ROUND, ZERO, stored
from dsv4recipe.formats.kernels.jit import kernel

_EPS = np.float32(1e-7)
_BETTER = 1.0 - 2.0**-12
"""A fit replaces minmax where it is better by more than a runtime's last rounding step can take away: 2^-24·255 of a
step on a rest of about a quarter of one, twice."""


@kernel
def _minmax(least, most, levels):  # type: ignore[no-untyped-def]
    """Unrounded scale and bias of `mx.quantize` (fact sheet mlx.md 2.1, the CPU column)."""
    negative = abs(least) > abs(most)
    scale = np.float32(np.float32(most - least) / levels)
    scale = scale if scale > _EPS else _EPS
    scale = scale if negative else -scale
    edge = least if negative else most
    ratio = np.float32(edge / scale)
    steps = np.float32(np.float32(ratio + ROUND) - ROUND) if abs(ratio) < LIMIT else np.rint(ratio)
    zero = steps == ZERO
    return (scale if zero else np.float32(edge / steps)), (ZERO if zero else edge)


@kernel
def _error(values, weights, count, levels, scale, bias, stored_scale, stored_bias, sums):  # type: ignore[no-untyped-def]
    """Σ w·(v - ŵ)² of codes for (scale, bias), chosen as the packing kernel does, read with the stored ones."""
    for k in range(8):
        sums[k] = 0.0
    for i in range(0, count, 8):
        for k in range(8):
            q = np.float32(np.float32(values[i + k] - bias) / scale)
            q = q if q > ZERO else ZERO
            q = q if q < levels else levels
            q = np.float32(np.float32(q + ROUND) - ROUND)
            seen = np.float32(np.float32(q * stored_scale) + stored_bias)
            gap = np.float64(values[i + k]) - np.float64(seen)
            sums[k] += np.float64(weights[i + k]) * (gap * gap)
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))


@kernel
def judge(values, weights, count, least, most, levels, kind, scale, bias, sums, out):  # type: ignore[no-untyped-def]
    """→ `out`: scale and bias to store, scale and bias to choose codes with. Those of minmax, unless (scale, bias), as
    stored, err less; a scale of 0 stands for no fit."""
    s, z = _minmax(least, most, levels)
    out[0], out[1], out[2], out[3] = stored(s, kind), stored(z, kind), s, z
    scale, bias = stored(scale, kind), stored(bias, kind)
    if scale == ZERO or not np.isfinite(scale) or not np.isfinite(bias):
        return
    before = _error(values, weights, count, levels, s, z, out[0], out[1], sums)
    if _error(values, weights, count, levels, scale, bias, scale, bias, sums) < before * _BETTER:
        out[0], out[1], out[2], out[3] = scale, bias, scale, bias
