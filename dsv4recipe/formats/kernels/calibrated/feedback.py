"""Floor 1, formats, kernels, calibrated. What the errors of later columns ask of a block of columns.

Rows lie in panels of 16 lanes, column after column: nothing is summed across lanes, so any split of rows gives the same
bits.
"""

from __future__ import annotations

from dsv4recipe.formats.kernels.calibrated.product import DEPTH, LANES, PAIR, ROWS, pair, tile
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
        for panel in range(0, panels, PAIR):
            base = panel * size * LANES
            for j in range(first, until, ROWS):
                if PAIR == 2 and panel + 1 < panels:
                    pair(
                        targets, base + j * LANES, LANES, size * LANES, u, j * size + start, size, 1, errors,
                        base + start * LANES, LANES, size * LANES, count,
                    )  # fmt: skip
                else:
                    tile(
                        targets, base + j * LANES, LANES, 0, u, j * size + start, size, 1, errors,
                        base + start * LANES, LANES, 0, count,
                    )  # fmt: skip


@kernel
def strip_of(u, size, first, strip):  # type: ignore[no-untyped-def]
    """u[first + j, first + a] for j and a below STRIP → strip [a · STRIP + j]: a column of it lies together."""
    for j in range(STRIP):
        for a in range(STRIP):
            strip[a * STRIP + j] = u[(first + j) * size + first + a]


@kernel
def feed_column(strip, size, errors, targets, panels, first, column):  # type: ignore[no-untyped-def]
    """targets[p, j] += u[j, column] · errors[p, column] for columns j in first..column, `strip` from `strip_of`."""
    for panel in range(panels):
        base = panel * size * LANES
        error = errors[base + column * LANES : base + (column + 1) * LANES]
        for j in range(column - first):
            factor = strip[(column - first) * STRIP + j]
            target = targets[base + (first + j) * LANES : base + (first + j + 1) * LANES]
            for lane in range(LANES):
                target[lane] += factor * error[lane]
