"""Floor 1, formats, kernels, fit. Where a search begins: the best of a fixed set of lattices, or of cut ranges."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import LEAST_STEP, ONE, ROUND, ZERO, stored
from dsv4recipe.formats.kernels.jit import kernel

SEEDS = 64
"""Seeds in one vectorised loop."""
DELTAS = 7
"""Tables of seeds, for FP4 blocks whose scale is 2^0, 2^-1 … of the greatest in the group; the last for all below."""
_CUT = np.float32(0.125)


@kernel
def _least(keys):  # type: ignore[no-untyped-def]
    """The least of 64 non-negative floats, given as their bits, with its index in the low 6 bits."""
    best = np.int32(0x7FFFFFFF)
    for c in range(SEEDS):
        key = np.int32(np.int32(keys[c] & np.int32(-SEEDS)) | np.int32(c))
        best = key if key < best else best
    return best


@kernel
def cuts(values, weights, count, least, most, levels, kind, scales, inverses, biases, errors, keys):  # type: ignore[no-untyped-def]
    """Seeds for any values: their range, cut at either end by 0 to 7 eighths of a step. → the index of the best."""
    step = np.float32(np.float32(most - least) / levels)
    for c in range(SEEDS):
        low = np.float32(least + np.float32(np.float32(np.float32(c & 7) * _CUT) * step))
        high = np.float32(most - np.float32(np.float32(np.float32(c >> 3) * _CUT) * step))
        scale = stored(np.float32(np.float32(high - low) / levels), kind)
        scales[c] = scale if scale > LEAST_STEP else LEAST_STEP
        inverses[c] = np.float32(ONE / scales[c])
        biases[c] = stored(low, kind)
        errors[c] = ZERO
    for j in range(count):
        value, weight = values[j], weights[j]
        for c in range(SEEDS):
            x = np.float32(np.float32(value - biases[c]) * inverses[c])
            q = x if x > ZERO else ZERO
            q = q if q < levels else levels
            gap = np.float32(x - np.float32(np.float32(q + ROUND) - ROUND))
            errors[c] += np.float32(weight * np.float32(gap * gap))
    for c in range(SEEDS):
        errors[c] *= np.float32(scales[c] * scales[c])
    return _least(keys) & np.int32(SEEDS - 1)


@kernel
def lattices(weights, deltas, blocks, tables, errors, keys):  # type: ignore[no-untyped-def]
    """Seeds for FP4 groups: the two best tables, each with its best lattice. `tables` [DELTAS, tables, 15·SEEDS] holds
    the squared error of every value but -0 on every lattice, so an error costs 15 products."""
    one, two = np.int32(0x7FFFFFFF), np.int32(0x7FFFFFFF)
    at_one, at_two = 0, 0
    for number in range(tables.shape[1]):
        for c in range(SEEDS):
            errors[c] = ZERO
        for block in range(blocks):
            t = tables[deltas[block], number]
            h = weights[16 * block : 16 * block + 16]
            a0, a1, a2, a3 = np.float32(h[0] + h[8]), h[1], h[2], h[3]
            a4, a5, a6, a7 = h[4], h[5], h[6], h[7]
            b1, b2, b3, b4, b5, b6, b7 = h[9], h[10], h[11], h[12], h[13], h[14], h[15]
            for c in range(SEEDS):
                x = np.float32(errors[c] + np.float32(a0 * t[c]))
                x = np.float32(np.float32(x + np.float32(a1 * t[64 + c])) + np.float32(a2 * t[128 + c]))
                x = np.float32(np.float32(x + np.float32(a3 * t[192 + c])) + np.float32(a4 * t[256 + c]))
                x = np.float32(np.float32(x + np.float32(a5 * t[320 + c])) + np.float32(a6 * t[384 + c]))
                x = np.float32(np.float32(x + np.float32(a7 * t[448 + c])) + np.float32(b1 * t[512 + c]))
                x = np.float32(np.float32(x + np.float32(b2 * t[576 + c])) + np.float32(b3 * t[640 + c]))
                x = np.float32(np.float32(x + np.float32(b4 * t[704 + c])) + np.float32(b5 * t[768 + c]))
                errors[c] = np.float32(np.float32(x + np.float32(b6 * t[832 + c])) + np.float32(b7 * t[896 + c]))
        key = _least(keys)
        at = number * SEEDS + (key & np.int32(SEEDS - 1))
        if key < one:
            one, two, at_one, at_two = key, one, at, at_one
        elif key < two:
            two, at_two = key, at
    return at_one, at_two
