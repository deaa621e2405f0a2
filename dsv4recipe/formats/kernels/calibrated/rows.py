"""Floor 1, formats, kernels, calibrated. Rows of weights into panels of 16 lanes in rounding order, and codes back."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.quantize import pack_words
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.jit import kernel


@kernel
def to_lanes(rows, order, out):  # type: ignore[no-untyped-def]
    """rows float32 [n, size] → out flat [ceil(n/16), size, 16], column `order[j]` at place j; lanes without a row are
    zeros."""
    count, size = rows.shape
    for panel in range(-(-count // LANES)):
        live = min(LANES, count - panel * LANES)
        if live < LANES:
            out[panel * size * LANES : (panel + 1) * size * LANES] = np.float32(0.0)
        for lane in range(live):
            row = rows[panel * LANES + lane]
            at = panel * size * LANES + lane
            for j in range(size):
                out[at + j * LANES] = row[order[j]]


@kernel
def words_of(codes, order, bits, words):  # type: ignore[no-untyped-def]
    """codes uint8 flat [panels, size, 16] → words uint32 [n, size·bits/32], one stream of codes a row, each column at
    its own place."""
    size = order.size
    eights = np.empty(size // 8, np.uint64)
    row = eights.view(np.uint8)
    for r in range(words.shape[0]):
        at = r // LANES * size * LANES + r % LANES
        for j in range(size):
            row[order[j]] = codes[at + j * LANES]
        pack_words(eights, bits, size // 32, words[r])


@kernel
def groups_of(values, order, group, out):  # type: ignore[no-untyped-def]
    """values float32 flat [panels, groups, 16], one a group in rounding order → out float32 [n, groups], each group at
    its own place."""
    count, groups = out.shape
    for r in range(count):
        at = r // LANES * groups * LANES + r % LANES
        for g in range(groups):
            out[r, order[g * group] // group] = values[at + g * LANES]


@kernel
def groups_to_lanes(values, order, group, out):  # type: ignore[no-untyped-def]
    """The way back: values float32 [n, groups] → out flat [ceil(n/16), groups, 16] in rounding order."""
    count, groups = values.shape
    for r in range(count):
        at = r // LANES * groups * LANES + r % LANES
        for g in range(groups):
            out[at + g * LANES] = values[r, order[g * group] // group]
