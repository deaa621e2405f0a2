"""Floor 1, formats, kernels, calibrated. Sweeps after the feedback: each code once more, given all the others.

Feedback rounds a column knowing only the columns before it. A sweep (coordinate descent on tr(E·H·Eᵀ)) takes the groups
in the same order once more: scale and bias anew by least squares under H for the codes that stand, kept where that
lowers the error as stored, then each code to the best one given all other columns. No step raises the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import ROUND, ZERO, stored
from dsv4recipe.formats.kernels.calibrated.feedback import STRIP, feed
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.jit import kernel

_TINY = np.float32(2.0**-100)
_ONE = np.float32(1.0)


@kernel
def _sides(h, size, first, sides):  # type: ignore[no-untyped-def]
    """`sides`: the sum of each row of H within a group → the sum of all."""
    group = sides.size
    mass: Any = ZERO
    for j in range(group):
        row = h[(first + j) * size + first : (first + j) * size + first + group]
        side = ZERO
        for k in range(group):
            side += row[k]
        sides[j] = side
        mass += side
    return mass


@kernel
def _refit(sides, mass, kind, values, slopes, errors, pulls, scales, biases):  # type: ignore[no-untyped-def]
    """One panel, one group: least squares under H. values, the codes, and slopes, H times them within the group, are
    flat [group, 16]; errors and pulls (H times all errors) those of the group, brought up to date."""
    group = sides.size
    sums = np.zeros((4, LANES), np.float32)
    for j in range(group):
        at = j * LANES
        for lane in range(LANES):
            sums[0, lane] += np.float32(values[at + lane] * slopes[at + lane])
            sums[1, lane] += slopes[at + lane]
            sums[2, lane] += np.float32(values[at + lane] * pulls[at + lane])
            sums[3, lane] += pulls[at + lane]
    more, shift = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for lane in range(LANES):
        qq, q1 = np.float64(sums[0, lane]), np.float64(sums[1, lane])
        c1, c2, m = np.float64(sums[2, lane]), np.float64(sums[3, lane]), np.float64(mass)
        spread = qq * m - q1 * q1
        usable = spread > 1e-5 * qq * m
        spread = spread if usable else np.float64(1.0)
        scale = stored(np.float32(scales[lane] + (m * c1 - q1 * c2) / spread), kind)
        bias = stored(np.float32(biases[lane] + (qq * c2 - q1 * c1) / spread), kind)
        ds, db = np.float64(scale) - np.float64(scales[lane]), np.float64(bias) - np.float64(biases[lane])
        gain = 2.0 * (c1 * ds + c2 * db) - (qq * ds * ds + 2.0 * q1 * ds * db + m * db * db)
        kept = usable and gain > 0.0 and abs(scale) > _TINY
        more[lane] = np.float32(ds) if kept else ZERO
        shift[lane] = np.float32(db) if kept else ZERO
        scales[lane] = scale if kept else scales[lane]
        biases[lane] = bias if kept else biases[lane]
    for j in range(group):
        at = j * LANES
        for lane in range(LANES):
            errors[at + lane] -= np.float32(np.float32(more[lane] * values[at + lane]) + shift[lane])
            pulls[at + lane] -= np.float32(
                np.float32(more[lane] * slopes[at + lane]) + np.float32(shift[lane] * sides[j])
            )


@kernel
def _pass_on(h, size, pulls, first, column, steps):  # type: ignore[no-untyped-def]
    """What changing `column` by -`steps` [16] does to the pulls of the columns first..column of one panel."""
    for j in range(first, column):
        factor = h[column * size + j]  # H is symmetric, and a row of it lies together
        pull = pulls[(j - first) * LANES : (j - first + 1) * LANES]
        for lane in range(LANES):
            pull[lane] -= factor * steps[lane]


@kernel
def settle_affine(h, size, errors, pulls, panels, bits, group, kind, codes, scales, biases):  # type: ignore[no-untyped-def]
    """One sweep. h: flat [size, size], both triangles; errors flat [panels, size, 16], as the codes leave them; pulls:
    as large, scratch. codes, scales, biases as `affine.encode_panels` returns them, brought up to date with errors."""
    levels = np.float32((1 << bits) - 1)
    groups = size // group
    values, slopes = np.empty(size * LANES, np.float32), np.empty(size * LANES, np.float32)
    steps, sides = np.empty(LANES, np.float32), np.empty(group, np.float32)
    for g in range(groups - 1, -1, -1):
        first, last = g * group, (g + 1) * group
        mass = _sides(h, size, first, sides)
        for panel in range(panels):
            pulls[(panel * size + first) * LANES : (panel * size + last) * LANES] = ZERO
        feed(h, size, errors, pulls, panels, first, last, 0, size)
        for panel in range(panels):
            start, end = (panel * size + first) * LANES, (panel * size + last) * LANES
            to = (panel * groups + g) * LANES
            scale, bias = scales[to : to + LANES], biases[to : to + LANES]
            error, pull, code = errors[start:end], pulls[start:end], codes[start:end]
            inside = values[first * LANES : last * LANES]
            for i in range(group * LANES):
                inside[i] = np.float32(code[i])
            slopes[first * LANES : last * LANES] = ZERO
            feed(h, size, values, slopes, 1, first, last, first, last)
            _refit(sides, mass, kind, inside, slopes[first * LANES : last * LANES], error, pull, scale, bias)
            for column in range(last - 1, first - 1, -1):
                at = (column - first) * LANES
                own = h[column * size + column]
                for lane in range(LANES):
                    width = np.float32(own * scale[lane])
                    inverse = np.float32(_ONE / width) if abs(width) > _TINY else ZERO
                    q = np.float32(inside[at + lane] + np.float32(pull[at + lane] * inverse))
                    q = q if q > ZERO else ZERO
                    q = q if q < levels else levels
                    q = np.float32(np.float32(q + ROUND) - ROUND)
                    step = np.float32(np.float32(q - inside[at + lane]) * scale[lane])
                    steps[lane] = step
                    code[at + lane] = np.uint8(q)
                    error[at + lane] -= step
                _pass_on(h, size, pull, first, column, steps)


@kernel
def settle_levels(h, size, errors, pulls, panels, boundaries, levels, codes):  # type: ignore[no-untyped-def]
    """One sweep over codes of fixed levels, as `mxtq.encode_panels` returns them; see `settle_affine`."""
    steps = np.empty(LANES, np.float32)
    for first in range(size - STRIP, -1, -STRIP):
        last = first + STRIP
        for panel in range(panels):
            pulls[(panel * size + first) * LANES : (panel * size + last) * LANES] = ZERO
        feed(h, size, errors, pulls, panels, first, last, 0, size)
        for panel in range(panels):
            start, end = (panel * size + first) * LANES, (panel * size + last) * LANES
            error, pull, code = errors[start:end], pulls[start:end], codes[start:end]
            for column in range(last - 1, first - 1, -1):
                at = (column - first) * LANES
                inverse = np.float32(_ONE / h[column * size + column])
                for lane in range(LANES):
                    old = levels[code[at + lane]]
                    wanted = np.float32(old + np.float32(pull[at + lane] * inverse))
                    new = np.int64(0)
                    for boundary in boundaries:
                        new += np.int64(boundary < wanted)
                    steps[lane] = np.float32(levels[new] - old)
                    code[at + lane] = np.uint8(new)
                    error[at + lane] -= steps[lane]
                _pass_on(h, size, pull, first, column, steps)
