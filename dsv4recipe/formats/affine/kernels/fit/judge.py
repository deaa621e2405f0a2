"""Floor 1, formats, kernels, fit. The judge decodes as runtimes do, and stays with minmax unless a fit is better."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import LIMIT, ROUND, ZERO, stored, to_bfloat16, to_float16
from dsv4recipe.formats.kernels.jit import kernel

_EPS = np.float32(1e-7)
_BETTER = 1.0 - 2.0**-12
"""A fit replaces minmax where it is better by more than a runtime's last rounding step can take away: 2^-24·255 of a
step on a rest of about a quarter of one, twice."""
_NOT_WORSE = 1.0 - 2.0**-40
"""Nor may it be worse where a runtime rounds to the type of the scales: by known steps, but summed in any order."""


@kernel
def _minmax(least, most, levels):  # type: ignore[no-untyped-def]
    """Unrounded scale and bias of `mx.quantize` (docs/reference/formats.md, affine)."""
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
def _sum(sums, at):  # type: ignore[no-untyped-def]
    left, right = (sums[at] + sums[at + 4]) + (sums[at + 1] + sums[at + 5]), sums[at + 2] + sums[at + 6]
    return left + (right + (sums[at + 3] + sums[at + 7]))


@kernel
def _errors(values, weights, count, levels, kind, scale, bias, stored_scale, stored_bias, seen, sums):  # type: ignore[no-untyped-def]
    """Σ w·(v - ŵ)² of codes for (scale, bias), chosen as the packing kernel does, read with the stored ones: in
    float32; in float32 and then rounded to the stored type; rounded to it after each step. The last two mean nothing
    where that type is float32."""
    plain, once, twice = seen[0], seen[1], seen[2]
    for j in range(count):
        q = np.float32(np.float32(values[j] - bias) / scale)
        q = q if q > ZERO else ZERO
        q = q if q < levels else levels
        q = np.float32(np.float32(q + ROUND) - ROUND)
        twice[j] = np.float32(q * stored_scale)
        plain[j] = np.float32(twice[j] + stored_bias)
    if kind == 1:
        for j in range(count):
            once[j] = to_bfloat16(plain[j])
            twice[j] = to_bfloat16(np.float32(to_bfloat16(twice[j]) + stored_bias))
    elif kind == 2:
        for j in range(count):
            once[j] = to_float16(plain[j])
            twice[j] = to_float16(np.float32(to_float16(twice[j]) + stored_bias))
    for k in range(24):
        sums[k] = 0.0
    for i in range(0, count, 8):
        for k in range(8):
            value, weight = np.float64(values[i + k]), np.float64(weights[i + k])
            a, b = value - np.float64(plain[i + k]), value - np.float64(once[i + k])
            c = value - np.float64(twice[i + k])
            sums[k] += weight * (a * a)
            sums[8 + k] += weight * (b * b)
            sums[16 + k] += weight * (c * c)
    return _sum(sums, 0), _sum(sums, 8), _sum(sums, 16)


@kernel
def holds(values, weights, count, kind, bias):  # type: ignore[no-untyped-def]
    """Whether values on a stored grid that begins at `bias` come out exactly also where every step is rounded to the
    stored type: a product of a code and a scale may need more bits than their sum."""
    for j in range(count):
        if weights[j] > ZERO:
            product = stored(np.float32(values[j] - bias), kind)
            if stored(np.float32(product + bias), kind) != values[j]:
                return False
    return True


@kernel
def judge(values, weights, count, least, most, levels, kind, scale, bias, seen, sums, out):  # type: ignore[no-untyped-def]
    """→ `out`: scale and bias to store, scale and bias to choose codes with. Those of minmax, unless (scale, bias), as
    stored, err less however a runtime computes; a scale of 0 stands for no fit."""
    s, z = _minmax(least, most, levels)
    out[0], out[1], out[2], out[3] = stored(s, kind), stored(z, kind), s, z
    scale, bias = stored(scale, kind), stored(bias, kind)
    if scale == ZERO or not np.isfinite(scale) or not np.isfinite(bias):
        return
    before, before_once, before_twice = _errors(values, weights, count, levels, kind, s, z, out[0], out[1], seen, sums)
    after, once, twice = _errors(values, weights, count, levels, kind, scale, bias, scale, bias, seen, sums)
    kept = kind == 0 or (once <= before_once * _NOT_WORSE and twice <= before_twice * _NOT_WORSE)
    if kept and after < before * _BETTER:
        out[0], out[1], out[2], out[3] = scale, bias, scale, bias
