"""Floor 1, formats, kernels, fit. From a seed on: codes, and least squares for the codes, in turn."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import LEAST_STEP, ONE, ROUND, ZERO, stored
from dsv4recipe.formats.kernels.jit import kernel

TURNS = 3
"""Times that codes are chosen from a seed on; three more gain at most 0.1 % of the error."""


@kernel
def _halve(terms, at, count):  # type: ignore[no-untyped-def]
    """The sum of `count` (16, 32, 64 or 128) terms from `at` on, by halves: one order, and it vectorises."""
    half = count // 2
    while half >= 8:
        for j in range(half):
            terms[at + j] += terms[at + half + j]
        half //= 2
    a = np.float32(np.float32(terms[at] + terms[at + 4]) + np.float32(terms[at + 1] + terms[at + 5]))
    b = np.float32(np.float32(terms[at + 2] + terms[at + 6]) + np.float32(terms[at + 3] + terms[at + 7]))
    return np.float32(a + b)


@kernel
def refine(values, weights, count, levels, kind, scale, bias, terms, best):  # type: ignore[no-untyped-def]
    """Codes for (scale, bias), then scale and bias by least squares for the codes, in turn. `best` is error, scale and
    bias of the best so far; `terms` is float32 [768] of scratch."""
    for j in range(count):
        terms[512 + j] = weights[j]
        terms[640 + j] = np.float32(weights[j] * values[j])
    mass, total = _halve(terms, 512, count), _halve(terms, 640, count)
    for turn in range(TURNS):
        if not abs(scale) >= LEAST_STEP:
            return
        inverse = np.float32(ONE / scale)
        for i in range(0, count, 16):
            for j in range(i, i + 16):
                q = np.float32(np.float32(values[j] - bias) * inverse)
                q = q if q > ZERO else ZERO
                q = q if q < levels else levels
                q = np.float32(np.float32(q + ROUND) - ROUND)
                gap = np.float32(values[j] - np.float32(np.float32(q * scale) + bias))
                weighted = np.float32(weights[j] * q)
                terms[j] = np.float32(weights[j] * np.float32(gap * gap))
                terms[128 + j] = weighted
                terms[256 + j] = np.float32(weighted * q)
                terms[384 + j] = np.float32(weighted * values[j])
        error = _halve(terms, 0, count)
        if error < best[0]:
            best[0], best[1], best[2] = error, scale, bias
        if turn == TURNS - 1:
            return
        a, b, c = _halve(terms, 128, count), _halve(terms, 256, count), _halve(terms, 384, count)
        spread = np.float32(np.float32(mass * b) - np.float32(a * a))
        if not spread > ZERO:
            return
        scale = stored(np.float32(np.float32(np.float32(mass * c) - np.float32(a * total)) / spread), kind)
        bias = stored(np.float32(np.float32(total - np.float32(scale * a)) / mass), kind)
