"""Floor 1, formats, kernels, calibrated. H = Uᵀ·D·U, U unit upper triangular: one factorisation, and no inverse.

Blocks of rows, each divided out before the rest is updated (right-looking). LDLQ rounds columns from the last to the
first and feeds U's rows forward (Chee et al. 2023, arXiv 2307.13304, which shows that GPTQ, Frantar et al. 2022, arXiv
2210.17323, is the same rule).
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.calibrated.product import LANES, add_gram
from dsv4recipe.formats.kernels.jit import kernel

BLOCK = 64
"""Rows that are divided out together: it decides bits."""


@kernel
def factor(h, size, least, pivots, left, right):  # type: ignore[no-untyped-def]
    """h: flat float32 [size, size], symmetric, its upper triangle given → above the diagonal U, on it 1; pivots:
    float32 [size], D. A pivot below `least` is raised to it. left, right: scratch, float32 [size · BLOCK].

    Returns how many pivots were raised.
    """
    raised = 0
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        for b in range(start, stop):
            row = h[b * size : (b + 1) * size]
            for k in range(start, b):
                above = h[k * size : (k + 1) * size]
                factor_kb = np.float32(above[b] * pivots[k])
                for j in range(b, size):
                    row[j] = np.float32(row[j] - np.float32(factor_kb * above[j]))
            pivot = row[b]
            if not pivot >= least:
                pivot = least
                raised += 1
            pivots[b] = pivot
            row[b] = np.float32(1.0)
            for j in range(b + 1, size):
                row[j] = np.float32(row[j] / pivot)
        if stop < size:
            count = stop - start
            for panel in range(stop // LANES, size // LANES):
                for k in range(count):
                    pivot = np.float32(-pivots[start + k])
                    at, source = (panel * count + k) * LANES, (start + k) * size + panel * LANES
                    for lane in range(LANES):
                        left[at + lane] = h[source + lane]
                        right[at + lane] = np.float32(h[source + lane] * pivot)
            add_gram(left, right, count, size, stop, h)
    return raised
