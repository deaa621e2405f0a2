"""Floor 1, formats, kernels, calibrated. MXTQ codes with feedback, in the rotated space: levels are given, row by row.

Lanes are rows. Targets are in units of the row's norm, so that one codebook serves all of them.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import ZERO, to_float16
from dsv4recipe.formats.kernels.calibrated.feedback import STRIP, feed, feed_column, strip_of
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.jit import kernel

_ONE = np.float32(1.0)


@kernel
def encode_panels(u, size, targets, errors, panels, boundaries, levels, norms, codes):  # type: ignore[no-untyped-def]
    """targets: flat [panels, size, 16], the rotated weights in → U times the errors; errors: as large → what the codes
    leave, both in units of the norm; boundaries [2^bits - 1], levels [2^bits]; norms float32 [panels · 16], rounded
    here to float16 → codes uint8 flat [panels, size, 16]."""
    for panel in range(panels):
        for lane in range(LANES):
            norm = to_float16(norms[panel * LANES + lane])
            norms[panel * LANES + lane] = norm
            inverse = np.float32(_ONE / norm) if norm > ZERO else ZERO
            for j in range(size):
                targets[(panel * size + j) * LANES + lane] *= inverse
    weights, block = targets.copy(), np.empty(STRIP * STRIP, np.float32)
    for strip in range(size - STRIP, -1, -STRIP):
        feed(u, size, errors, targets, panels, strip, strip + STRIP, strip + STRIP, size)
        strip_of(u, size, strip, block)
        for column in range(strip + STRIP - 1, strip - 1, -1):
            for panel in range(panels):
                at = (panel * size + column) * LANES
                for lane in range(LANES):
                    code = np.int64(0)
                    for boundary in boundaries:
                        code += np.int64(boundary < targets[at + lane])
                    codes[at + lane] = np.uint8(code)
                    errors[at + lane] = np.float32(weights[at + lane] - levels[code])
                    targets[at + lane] -= levels[code]
            feed_column(block, size, errors, targets, panels, strip, column)


@kernel
def refit_norms(u, pivots, size, errors, whitened, panels, levels, codes, norms):  # type: ignore[no-untyped-def]
    """Each row's norm by least squares under H = Uᵀ·D·U for the codes that stand, in float16; errors, in units of the
    norm, follow. errors, and `whitened`, which is U times them: flat [panels, size, 16]; norms float32 [panels · 16].
    """
    weights, block = np.empty(panels * size * LANES, np.float32), np.empty(STRIP * STRIP, np.float32)
    for i in range(panels * size * LANES):
        weights[i] = np.float32(errors[i] + levels[codes[i]])
    turned = weights.copy()
    own, rest = np.zeros(panels * LANES, np.float64), np.zeros(panels * LANES, np.float64)
    for strip in range(size - STRIP, -1, -STRIP):
        feed(u, size, weights, turned, panels, strip, strip + STRIP, strip + STRIP, size)
        strip_of(u, size, strip, block)
        for column in range(strip + STRIP - 1, strip - 1, -1):
            feed_column(block, size, weights, turned, panels, strip, column)
            pivot = np.float64(pivots[column])
            for panel in range(panels):
                at, to = (panel * size + column) * LANES, panel * LANES
                for lane in range(LANES):
                    error = np.float64(whitened[at + lane])
                    value = np.float64(turned[at + lane]) - error
                    own[to + lane] += pivot * value * value
                    rest[to + lane] += pivot * value * error
    for panel in range(panels):
        for lane in range(LANES):
            to = panel * LANES + lane
            old = norms[to]
            ratio = 1.0 + rest[to] / own[to] if own[to] > 0.0 else 1.0
            new = to_float16(np.float32(np.float64(old) * ratio))
            good = new > ZERO and np.isfinite(new)
            new = new if good else old
            factor = np.float32(old / new) if good else _ONE
            norms[to] = new
            for j in range(size):
                at = (panel * size + j) * LANES + lane
                errors[at] = np.float32(np.float32(weights[at] * factor) - levels[codes[at]])
