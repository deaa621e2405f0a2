"""Floor 1, formats, kernels, calibrated. H = Uᵀ·D·U, U unit upper triangular: one factorisation, and no inverse.

Blocks of rows, each divided out before the rest is updated (right-looking). LDLQ rounds columns from the last to the
first and feeds U's rows forward (Chee et al. 2023, arXiv 2307.13304, which shows that GPTQ, Frantar et al. 2022, arXiv
2210.17323, is the same rule).
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.calibrated.product import LANES, PAIR, ROWS, add_gram, pair, tile
from dsv4recipe.formats.kernels.jit import kernel

BLOCK = 128
"""Rows that are divided out of all that follow together: it decides bits."""
_FEW = 8
"""Rows of a block that are divided out of each other one by one; the block's rows before them by tiles."""


@kernel
def factor(h, size, least, pivots, left, right):  # type: ignore[no-untyped-def]
    """h: flat float32 [size, size], symmetric, its upper triangle given → above the diagonal U, on it 1; pivots:
    float32 [size], D. A pivot below `least` is raised to it. left, right: scratch, float32 [size · BLOCK].

    Returns how many pivots were raised.
    """
    raised = 0
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        count = stop - start
        for few in range(start, stop, _FEW):
            if few > start:
                _divide_out(h, size, few, few - start, count, left, right)
            for b in range(few, few + _FEW):
                row = h[b * size : (b + 1) * size]
                for k in range(few, b):
                    above = h[k * size : (k + 1) * size]
                    factor_kb = np.float32(above[b] * pivots[k])
                    for j in range(b, size):
                        row[j] -= np.float32(factor_kb * above[j])
                pivot = row[b]
                if not pivot >= least:
                    pivot = least
                    raised += 1
                pivots[b] = pivot
                row[b] = np.float32(1.0)
                for j in range(b + 1, size):
                    row[j] /= pivot
            # Panels of the finished rows: as they are on the left, times minus their pivots on the right.
            for panel in range(few // LANES, size // LANES):
                for k in range(few, few + _FEW):
                    pivot = np.float32(-pivots[k])
                    at, source = (panel * count + k - start) * LANES, k * size + panel * LANES
                    for lane in range(LANES):
                        left[at + lane] = h[source + lane]
                        right[at + lane] = np.float32(h[source + lane] * pivot)
        if stop < size:
            add_gram(left, right, count, size, stop, h)
    return raised


@kernel
def _divide_out(h, size, first, terms, count, left, right):  # type: ignore[no-untyped-def]
    """Takes the `terms` rows of a block before row `first` out of the `_FEW` rows that begin there."""
    panels = size // LANES
    own = first // LANES * count * LANES + first % LANES
    for panel in range(first // LANES, panels, PAIR):
        for row in range(0, _FEW, ROWS):
            at, of = (first + row) * size + panel * LANES, panel * count * LANES
            if PAIR == 2 and panel + 1 < panels:
                pair(h, at, size, LANES, right, own + row, 1, LANES, left, of, LANES, count * LANES, terms)
            else:
                tile(h, at, size, 0, right, own + row, 1, LANES, left, of, LANES, 0, terms)
