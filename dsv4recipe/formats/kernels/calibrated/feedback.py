"""Floor 1, formats, kernels, calibrated. What the errors of later columns ask of a block of columns.

Rows lie in panels of 16 lanes, column after column: nothing is summed across lanes, so any split of rows gives the same
bits.
"""

from __future__ import annotations

from dsv4recipe.formats.kernels.calibrated.product import DEPTH, LANES, ROWS, tile
from dsv4recipe.formats.kernels.jit import kernel

STRIP = 32
"""Columns within which errors go from column to column; beyond, by tiles: it decides bits."""


@kernel
def feed(u, size, errors, targets, panels, first, until, begin, end):  # type: ignore[no-untyped-def]
    """targets[p, j] += Σ_a u[j, a] · errors[p, a] for columns j in first..until and a in begin..end.

    u: flat [size, size]; errors, targets: flat [panels, size, 16].
    """
    for start in range(begin, end, DEPTH):
        count = min(DEPTH, end - start)
        for panel in range(panels):
            base = panel * size * LANES
            for j in range(first, until, ROWS):
                tile(
                    targets, base + j * LANES, LANES, u, j * size + start, size, 1, errors, base + start * LANES,
                    LANES, count,
                )  # fmt: skip


@kernel
def feed_column(u, size, errors, targets, panels, first, column):  # type: ignore[no-untyped-def]
    """targets[p, j] += u[j, column] · errors[p, column] for columns j in first..column."""
    for panel in range(panels):
        base = panel * size * LANES
        error = errors[base + column * LANES : base + (column + 1) * LANES]
        for j in range(first, column):
            factor = u[j * size + column]
            target = targets[base + j * LANES : base + (j + 1) * LANES]
            for lane in range(LANES):
                target[lane] += factor * error[lane]
