"""Floor 1, formats, kernels, calibrated. MXTQ codes with feedback, in the rotated space: levels are given, row by row.

Lanes are rows. Targets are in units of the row's norm, so that one codebook serves all of them.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import ZERO, to_float16
from dsv4recipe.formats.kernels.calibrated.feedback import STRIP, feed, feed_column
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.jit import kernel

_ONE = np.float32(1.0)


@kernel
def encode_panels(u, size, targets, errors, panels, boundaries, levels, norms, codes):  # type: ignore[no-untyped-def]
    """targets: flat [panels, size, 16], the rotated weights in, spoiled; errors: as large → what the codes leave, both
    in units of the norm; boundaries [2^bits - 1], levels [2^bits]; norms float32 [panels · 16], rounded here to float16
    → codes uint8 flat [panels, size, 16]."""
    for panel in range(panels):
        for lane in range(LANES):
            norm = to_float16(norms[panel * LANES + lane])
            norms[panel * LANES + lane] = norm
            inverse = np.float32(_ONE / norm) if norm > ZERO else ZERO
            for j in range(size):
                targets[(panel * size + j) * LANES + lane] *= inverse
    weights = targets.copy()
    for strip in range(size - STRIP, -1, -STRIP):
        feed(u, size, errors, targets, panels, strip, strip + STRIP, strip + STRIP, size)
        for column in range(strip + STRIP - 1, strip - 1, -1):
            for panel in range(panels):
                at = (panel * size + column) * LANES
                for lane in range(LANES):
                    code = np.int64(0)
                    for boundary in boundaries:
                        code += np.int64(boundary < targets[at + lane])
                    codes[at + lane] = np.uint8(code)
                    errors[at + lane] = np.float32(weights[at + lane] - levels[code])
            feed_column(u, size, errors, targets, panels, strip, column)
