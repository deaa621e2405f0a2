"""Floor 1, formats, kernels, fit. Rows, group by group: FP4 by their blocks, all other sources by their columns."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.blocks import grid, scale_down, spread_out, tally
from dsv4recipe.formats.affine.kernels.fit.judge import holds, judge
from dsv4recipe.formats.affine.kernels.fit.numbers import HALF, INFINITE, ZERO, stored, unit_of
from dsv4recipe.formats.affine.kernels.fit.refine import refine
from dsv4recipe.formats.affine.kernels.fit.seeds import SEEDS, cuts, lattices
from dsv4recipe.formats.kernels.jit import kernel


@kernel
def rows_f32(rows, importance, bits, group_size, kind, out):  # type: ignore[no-untyped-def]
    levels = np.float32((1 << bits) - 1)
    scaled, terms, best = np.empty(group_size, np.float32), np.empty(768, np.float32), np.empty(3, np.float32)
    scales, biases, errors = np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32)
    inverses = np.empty(SEEDS, np.float32)
    keys, sums, four = errors.view(np.int32), np.empty(24, np.float64), np.empty(4, np.float32)
    seen = np.zeros((3, 128), np.float32)
    for r in range(rows.shape[0]):
        for group in range(rows.shape[1] // group_size):
            values = rows[r, group * group_size : (group + 1) * group_size]
            weights = importance[group * group_size : (group + 1) * group_size]
            least, most = values[0], values[0]
            for j in range(group_size):
                least = values[j] if values[j] < least else least
                most = values[j] if values[j] > most else most
            unit, inverse = unit_of(max(abs(least), abs(most)))
            for j in range(group_size):
                scaled[j] = np.float32(values[j] * inverse)
            low, high = np.float32(least * inverse), np.float32(most * inverse)
            best[0], best[1], best[2] = INFINITE, ZERO, ZERO
            if high > low:
                c = cuts(scaled, weights, group_size, low, high, levels, kind, scales, inverses, biases, errors, keys)
                refine(scaled, weights, group_size, levels, kind, scales[c], biases[c], terms, best)
            scale, bias = np.float32(best[1] * unit), np.float32(best[2] * unit)
            judge(values, weights, group_size, least, most, levels, kind, scale, bias, seen, sums, four)
            for part in range(4):
                out[part, r, group] = four[part]


@kernel
def rows_fp4(  # type: ignore[no-untyped-def]
    packed, exponents, powers, halves, weighted, importance, search, bits, group_size, kind, steps, starts, tables, out
):
    levels = np.float32((1 << bits) - 1)
    blocks, count = group_size // 32, group_size // 2
    values, scaled, weights = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    terms, best, counts = np.empty(768, np.float32), np.empty(3, np.float32), np.empty(32, np.int32)
    scales, biases, errors = np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32)
    inverses = np.empty(SEEDS, np.float32)
    keys, sums, four = errors.view(np.int32), np.empty(24, np.float64), np.empty(4, np.float32)
    seen = np.zeros((3, 128), np.float32)
    deltas, twice = np.empty(blocks, np.int64), (halves * np.float32(2.0)).astype(np.int64)
    for r in range(packed.shape[0]):
        for group in range(exponents.shape[1] // blocks):
            first = group * blocks
            for block in range(blocks):
                at = first + block
                columns = importance[32 * at : 32 * at + 32] if weighted else importance
                h = weights[16 * block : 16 * block + 16]
                tally(packed[r, 16 * at : 16 * at + 16], weighted, columns, counts, h)
            scale_bytes = exponents[r, first : first + blocks]
            top, bottom = spread_out(halves, powers, scale_bytes, weights, blocks, values, deltas)
            if top >= 0 and top - bottom <= 8:
                step, start = grid(twice, deltas, bottom, weights, count, np.int64(levels))
                base = np.float32(powers[bottom] * HALF)
                scale, bias = np.float32(np.float32(step) * base), np.float32(np.float32(start) * base)
                fits = step > 0 and stored(scale, kind) == scale and stored(bias, kind) == bias
                simple = kind < 2 and step & (step - 1) == 0  # 8 bits and a power of two: every product is exact
                if fits and (simple or holds(values, weights, count, kind, bias)):
                    out[0, r, group], out[1, r, group] = scale, bias
                    out[2, r, group], out[3, r, group] = scale, bias
                    continue
            if top >= 0 and not search:
                return r * out.shape[2] + group
            unit = np.float32(powers[max(top, np.int64(0))] * HALF)
            least, most, low, high = scale_down(twice, powers, top, values, weights, blocks, scaled, deltas)
            best[0], best[1], best[2] = INFINITE, ZERO, ZERO
            if max(-low, high) >= np.float32(6.0):
                one, two = lattices(weights, deltas, blocks, tables, errors, keys)
                refine(scaled, weights, count, levels, kind, steps[one], starts[one], terms, best)
                refine(scaled, weights, count, levels, kind, steps[two], starts[two], terms, best)
            elif high > low:
                c = cuts(scaled, weights, count, low, high, levels, kind, scales, inverses, biases, errors, keys)
                refine(scaled, weights, count, levels, kind, scales[c], biases[c], terms, best)
            scale, bias = np.float32(best[1] * unit), np.float32(best[2] * unit)
            judge(values, weights, count, least, most, levels, kind, scale, bias, seen, sums, four)
            for part in range(4):
                out[part, r, group] = four[part]
    return -1
