"""Floor 1, formats, kernels, calibrated. Affine codes with feedback: a group's scale and bias are fitted when it is
reached, on the weights as the groups before it left them, each column weighted by its pivot.

Lanes are rows. Seeds are ranges drawn in from the extremes; codes and least squares for the codes take turns.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.numbers import ROUND, ZERO, stored
from dsv4recipe.formats.kernels.calibrated.feedback import STRIP, feed, feed_column, strip_of
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.jit import kernel

SEEDS = np.array([0.0, 0.1, 0.2, 0.3, 0.45], np.float32)
"""Parts of the range by which both ends are drawn in."""
TURNS = 3
"""Times that scale and bias are fitted to the codes of a seed."""
_TINY = np.float32(2.0**-100)
_ONE = np.float32(1.0)


@kernel
def _code(value, inverse, bias, levels):  # type: ignore[no-untyped-def]
    q = np.float32(np.float32(value - bias) * inverse)
    q = q if q > ZERO else ZERO
    q = q if q < levels else levels
    return np.float32(np.float32(q + ROUND) - ROUND)


@kernel
def _judged(values, weights, columns, levels, scale, bias, inverse, error):  # type: ignore[no-untyped-def]
    """Σ weight · (value - code · scale - bias)² → `error`, per lane."""
    for lane in range(LANES):
        error[lane] = ZERO
    for j in range(columns):
        value = values[j * LANES : (j + 1) * LANES]
        weight = weights[j]
        for lane in range(LANES):
            q = _code(value[lane], inverse[lane], bias[lane], levels)
            rest = np.float32(np.float32(value[lane] - np.float32(q * scale[lane])) - bias[lane])
            error[lane] += np.float32(weight * np.float32(rest * rest))


@kernel
def _judged_and_summed(values, weights, columns, levels, scale, bias, inverse, error, s):  # type: ignore[no-untyped-def]
    """As `_judged`, and what least squares for these codes need → `s`, float32 [4, 16]; → the sum of the weights."""
    mass = ZERO
    for lane in range(LANES):
        error[lane] = ZERO
    for k in range(4):
        for lane in range(LANES):
            s[k, lane] = ZERO
    for j in range(columns):
        value = values[j * LANES : (j + 1) * LANES]
        weight = weights[j]
        mass += weight
        for lane in range(LANES):
            x = np.float32(value[lane] - bias[lane])
            q = _code(value[lane], inverse[lane], bias[lane], levels)
            rest = np.float32(np.float32(value[lane] - np.float32(q * scale[lane])) - bias[lane])
            error[lane] += np.float32(weight * np.float32(rest * rest))
            wq = np.float32(weight * q)
            s[0, lane] += wq
            s[1, lane] += np.float32(wq * q)
            s[2, lane] += np.float32(wq * x)
            s[3, lane] += np.float32(weight * x)
    return mass


@kernel
def _least_squares(mass, s, scale, bias):  # type: ignore[no-untyped-def]
    """The best scale and bias for the codes that were summed → `scale`, `bias`."""
    for lane in range(LANES):
        spread = np.float32(np.float32(mass * s[1, lane]) - np.float32(s[0, lane] * s[0, lane]))
        usable = spread > np.float32(np.float32(1e-5) * np.float32(mass * s[1, lane]))
        spread = spread if usable else _ONE
        slope = np.float32(np.float32(np.float32(mass * s[2, lane]) - np.float32(s[0, lane] * s[3, lane])) / spread)
        ok = usable and slope > _TINY
        start = np.float32(np.float32(s[3, lane] - np.float32(slope * s[0, lane])) / mass)
        scale[lane] = slope if ok else scale[lane]
        bias[lane] = np.float32(bias[lane] + start) if ok else bias[lane]


@kernel
def _as_stored(kind, scale, bias, inverse):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        scale[lane] = stored(scale[lane], kind)
        bias[lane] = stored(bias[lane], kind)
        inverse[lane] = np.float32(_ONE / scale[lane]) if abs(scale[lane]) > _TINY else ZERO


@kernel
def fit_group(values, weights, columns, levels, kind, seeds, turns, scales, biases):  # type: ignore[no-untyped-def]
    """values: flat [columns, 16]; weights [columns], not negative → scales, biases [16], as stored."""
    low, high, best = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    scale, bias = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    inverse, error = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    sums = np.empty((4, LANES), np.float32)
    for lane in range(LANES):
        low[lane] = high[lane] = values[lane]
        best[lane] = np.float32(np.inf)
        scales[lane] = biases[lane] = np.float32(np.nan)
    for j in range(1, columns):
        value = values[j * LANES : (j + 1) * LANES]
        for lane in range(LANES):
            low[lane] = value[lane] if value[lane] < low[lane] else low[lane]
            high[lane] = value[lane] if value[lane] > high[lane] else high[lane]
    for seed in range(seeds.size):
        kept = np.float32(_ONE - seeds[seed])
        for lane in range(LANES):
            step = np.float32(np.float32(np.float32(high[lane] - low[lane]) * kept) / levels)
            scale[lane] = step if step > _TINY else _TINY
            bias[lane] = np.float32(low[lane] * kept)
        for turn in range(turns + 1):
            _as_stored(kind, scale, bias, inverse)
            mass = ZERO
            if turn < turns:
                mass = _judged_and_summed(values, weights, columns, levels, scale, bias, inverse, error, sums)
            else:
                _judged(values, weights, columns, levels, scale, bias, inverse, error)
            for lane in range(LANES):
                better = error[lane] < best[lane]
                best[lane] = error[lane] if better else best[lane]
                scales[lane] = scale[lane] if better else scales[lane]
                biases[lane] = bias[lane] if better else biases[lane]
            if turn < turns:
                _least_squares(mass, sums, scale, bias)


@kernel
def encode_panels(  # type: ignore[no-untyped-def]
    u, pivots, size, targets, errors, panels, bits, group, kind, fitted, seeds, turns, codes, scales, biases
):
    """targets: flat [panels, size, 16], the weights in, spoiled; errors: as large, scratch → errors: what the codes
    leave; codes uint8 flat [panels, size, 16]; scales, biases: float32 flat [panels, size/group, 16], as stored, which
    are taken as they are where `fitted`, and else NaN where no fit has finite numbers."""
    levels = np.float32((1 << bits) - 1)
    groups = size // group
    weights, block = targets.copy(), np.empty(STRIP * STRIP, np.float32)
    for g in range(groups - 1, -1, -1):
        first, last = g * group, (g + 1) * group
        feed(u, size, errors, targets, panels, first, last, last, size)
        if not fitted:
            for panel in range(panels):
                at, to = (panel * size + first) * LANES, (panel * groups + g) * LANES
                fit_group(
                    targets[at : at + group * LANES], pivots[first:last], group, levels, kind, seeds, turns,
                    scales[to : to + LANES], biases[to : to + LANES],
                )  # fmt: skip
        for strip in range(last - STRIP, first - 1, -STRIP):
            if strip + STRIP < last:
                feed(u, size, errors, targets, panels, strip, strip + STRIP, strip + STRIP, last)
            strip_of(u, size, strip, block)
            for column in range(strip + STRIP - 1, strip - 1, -1):
                for panel in range(panels):
                    at, to = (panel * size + column) * LANES, (panel * groups + g) * LANES
                    for lane in range(LANES):
                        scale, bias = scales[to + lane], biases[to + lane]
                        inverse = np.float32(_ONE / scale) if abs(scale) > _TINY else ZERO
                        q = _code(targets[at + lane], inverse, bias, levels)
                        codes[at + lane] = np.uint8(q)
                        read = np.float32(np.float32(q * scale) + bias)
                        errors[at + lane] = np.float32(weights[at + lane] - read)
                feed_column(block, size, errors, targets, panels, strip, column)
