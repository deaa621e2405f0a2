"""Floor 1, formats, kernels, fit. What a group of FP4 blocks is: its codes by weight, its values, its grid."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import INFINITE, ZERO
from dsv4recipe.formats.affine.kernels.fit.seeds import DELTAS
from dsv4recipe.formats.kernels.jit import kernel


@kernel
def tally(pairs, weighted, importance, counts, h):  # type: ignore[no-untyped-def]
    """What each code of a block weighs → `h` float32 [16]; `counts` is int32 [32] of scratch."""
    if weighted:
        for code in range(16):
            h[code] = ZERO
        for j in range(16):
            h[pairs[j] & 15] += importance[2 * j]
            h[pairs[j] >> 4] += importance[2 * j + 1]
        return
    for code in range(32):
        counts[code] = 0
    for j in range(16):
        counts[pairs[j] & 15] += 1
        counts[16 + (pairs[j] >> 4)] += 1
    for code in range(16):
        h[code] = np.float32(counts[code] + counts[16 + code])


@kernel
def spread_out(halves, powers, exponents, weights, blocks, values, deltas):  # type: ignore[no-untyped-def]
    """The values of every code of every block → `values`; each block's scale byte, -1 where it is all zeros → `deltas`.
    → greatest and least scale byte of the other blocks; -1 and 256 if there is none."""
    top, bottom = np.int64(-1), np.int64(256)
    for block in range(blocks):
        exponent = np.int64(exponents[block])
        others = ZERO
        for code in range(1, 8):
            others += np.float32(weights[16 * block + code] + weights[16 * block + 8 + code])
        deltas[block] = exponent if others > ZERO else np.int64(-1)
        if others > ZERO:
            top, bottom = max(exponent, top), min(exponent, bottom)
        for code in range(16):
            values[16 * block + code] = np.float32(halves[code] * powers[exponent])
    return top, bottom


@kernel
def scale_down(twice, powers, top, values, weights, blocks, scaled, deltas):  # type: ignore[no-untyped-def]
    """Values in half units of the block with the greatest scale → `scaled`; how far below each block is, as a number
    of its table → `deltas`. → least and most of `values`, least and most of `scaled`."""
    least, most, low, high = INFINITE, -INFINITE, INFINITE, -INFINITE
    for block in range(blocks):
        delta = top - deltas[block] if deltas[block] >= 0 else np.int64(0)
        fraction = powers[127 - delta] if delta < 60 else ZERO
        deltas[block] = min(delta, np.int64(DELTAS - 1))
        for j in range(16 * block, 16 * block + 16):
            scaled[j] = np.float32(np.float32(twice[j & 15]) * fraction)
            if weights[j] > ZERO:
                least, most = min(values[j], least), max(values[j], most)
                low, high = min(scaled[j], low), max(scaled[j], high)
    return least, most, low, high


@kernel
def grid(twice, deltas, bottom, weights, count, levels):  # type: ignore[no-untyped-def]
    """(step, least): the coarsest grid that holds all values, in half units of the smallest block; step 0 if it takes
    more than `levels` steps."""
    least, most = np.int64(1) << 40, -(np.int64(1) << 40)
    for j in range(count):
        if weights[j] > ZERO:
            x = np.int64(twice[j & 15]) << max(deltas[j >> 4] - bottom, 0)
            least = x if x < least else least
            most = x if x > most else most
    step = np.int64(0)
    for j in range(count):
        if weights[j] > ZERO:
            a, b = (np.int64(twice[j & 15]) << max(deltas[j >> 4] - bottom, 0)) - least, step
            while b:
                a, b = b, a % b
            step = a
            if step and most - least > step * levels:
                return np.int64(0), least
    return max(step, np.int64(1)), least
