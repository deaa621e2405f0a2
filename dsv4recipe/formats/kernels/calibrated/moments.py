"""Floor 1, formats, kernels, calibrated. Rows of inputs → H = Σ xᵀx / n, in the order in which columns are rounded."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.calibrated.product import LANES, add_gram
from dsv4recipe.formats.kernels.jit import kernel


@kernel
def pack(rows, order, out):  # type: ignore[no-untyped-def]
    """rows float32 [n, size] → out flat [size/16][n][16], column `order[j]` at place j."""
    count, size = rows.shape
    for panel in range(size // LANES):
        columns = order[panel * LANES : (panel + 1) * LANES]
        for t in range(count):
            at = (panel * count + t) * LANES
            for lane in range(LANES):
                out[at + lane] = rows[t, columns[lane]]


@kernel
def blend(h, size, own, pool, pooled, order, ridge):  # type: ignore[no-untyped-def]
    """Upper triangle of h (flat) ← own · h + pooled · pool[order, order], and `ridge` times the mean of the diagonal
    on the diagonal. pool: flat [size, size], its upper triangle given, in the columns' own order; unused if `pooled` is
    0. → the mean of the diagonal, before."""
    total = 0.0
    for i in range(size):
        row = h[i * size : (i + 1) * size]
        for j in range(i, size):
            row[j] = np.float32(row[j] * own)
        if pooled > np.float32(0.0):
            a = order[i]
            for j in range(i, size):
                b = order[j]
                value = pool[a * size + b] if a < b else pool[b * size + a]
                row[j] = np.float32(row[j] + np.float32(pooled * value))
        total += np.float64(row[i])
    mean = np.float32(total / size)
    extra = np.float32(ridge * mean)
    for i in range(size):
        h[i * size + i] = np.float32(h[i * size + i] + extra)
    return mean


@kernel
def mirror(h, size):  # type: ignore[no-untyped-def]
    """The upper triangle of h, flat [size, size], is copied to the lower one, tile by tile."""
    for top in range(0, size, 32):
        for left in range(top, size, 32):
            for i in range(top, min(top + 32, size)):
                for j in range(max(left, i + 1), min(left + 32, size)):
                    h[j * size + i] = h[i * size + j]


Array = np.ndarray


def add_rows(rows: Array, order: Array, scratch: Array, out: Array) -> None:
    """Adds the products of all pairs of columns over rows float32 [n, size], n at most DEPTH → upper triangle of out,
    flat [size, size]. scratch: float32 [n · size] at least."""
    count, size = rows.shape
    panels = scratch[: count * size]
    pack(rows, order, panels)
    add_gram(panels, panels, count, size, 0, out)
