"""Floor 1, formats, kernels. Least-squares fit of affine scale and bias, per group, for the numbers that are stored.

A group is `count` values with a weight each: its columns (`fit_f32`), or the 16 codes of each of its FP4 blocks,
weighted by what they occur (`fit_fp4`: 16 terms do for 32 columns). Grid: where all values of an FP4 group lie on one
grid of few enough steps, that is exact, and done. Seeds: the best lattices of a fixed set. Refinement: codes, and
least squares for them, in turn, each time rounded to the stored type. The judge decodes as a runtime does, and stays
with what minmax stores unless the fit is better. Searching is float32 in units of the group, judging float64; every
operation is IEEE and in one order, so that the same bytes come out everywhere. (Longer than most files: numba's cache
wants the loops of one kernel in one place.)
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel
from dsv4recipe.formats.kernels.tables import E8M0, FP4

SEEDS = 64
"""Seeds in one vectorised loop."""
DELTAS = 7
"""Tables of seeds, for FP4 blocks whose scale is 2^0, 2^-1 … of the greatest in the group; the last for all below."""
TURNS = 3
"""Times that codes are chosen from a seed on; three more gain at most 0.1 % of the error."""
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, half to even, left in the low bits
_LIMIT = np.float32(4194304.0)  # 2^22: that holds below
_EPS = np.float32(1e-7)
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_INFINITE = np.float32(np.inf)
_LEAST_STEP = np.float32(2.0**-20)
_CUT = np.float32(0.125)
_BETTER = 1.0 - 2.0**-12
"""A fit replaces minmax where it is better by more than a runtime's last rounding step can take away: 2^-24·255 of a
step on a rest of about a quarter of one, twice."""


@kernel
def _stored(x, kind):  # type: ignore[no-untyped-def]
    """float32 → the nearest value of the stored type, ties to even: kind 0 float32, 1 bfloat16, 2 float16."""
    bits = np.float32(x).view(np.uint32)
    sign = np.uint32(bits & np.uint32(0x80000000))
    size = np.uint32(bits & np.uint32(0x7FFFFFFF))
    if kind == 1:
        even = np.uint32(np.uint32(size >> np.uint32(16)) & np.uint32(1))
        size = np.uint32(np.uint32(size + np.uint32(np.uint32(0x7FFF) + even)) & np.uint32(0xFFFF0000))
    elif kind == 2:
        even = np.uint32(np.uint32(size >> np.uint32(13)) & np.uint32(1))
        half = np.uint32(np.uint32(size + np.uint32(np.uint32(0xFFF) + even)) & np.uint32(0xFFFFE000))
        half = half if half < np.uint32(0x47800000) else np.uint32(0x7F800000)  # 65536 is infinite
        # Below 2^-14 float16 has steps of 2^-24, as float32 has at 0.5.
        small = np.float32(np.float32(size.view(np.float32) + _HALF) - _HALF).view(np.uint32)
        size = small if size < np.uint32(0x38800000) else half
    return np.uint32(size | sign).view(np.float32)


@kernel
def _halve(terms, at, count):  # type: ignore[no-untyped-def]
    """The sum of `count` (16, 32, 64 or 128) terms from `at` on, by halves: one order, and it vectorises."""
    half = count // 2
    while half >= 8:
        for j in range(half):
            terms[at + j] += terms[at + half + j]
        half //= 2
    a = np.float32(np.float32(terms[at] + terms[at + 4]) + np.float32(terms[at + 1] + terms[at + 5]))
    b = np.float32(np.float32(terms[at + 2] + terms[at + 6]) + np.float32(terms[at + 3] + terms[at + 7]))
    return np.float32(a + b)


@kernel
def _refine(values, weights, count, levels, kind, scale, bias, terms, best):  # type: ignore[no-untyped-def]
    """Codes for (scale, bias), then scale and bias by least squares for the codes, in turn. `best` is error, scale and
    bias of the best so far; `terms` is float32 [768] of scratch."""
    for j in range(count):
        terms[512 + j] = weights[j]
        terms[640 + j] = np.float32(weights[j] * values[j])
    mass, total = _halve(terms, 512, count), _halve(terms, 640, count)
    for turn in range(TURNS):
        if not abs(scale) >= _LEAST_STEP:
            return
        inverse = np.float32(_ONE / scale)
        for i in range(0, count, 16):
            for j in range(i, i + 16):
                q = np.float32(np.float32(values[j] - bias) * inverse)
                q = q if q > _ZERO else _ZERO
                q = q if q < levels else levels
                q = np.float32(np.float32(q + _ROUND) - _ROUND)
                gap = np.float32(values[j] - np.float32(np.float32(q * scale) + bias))
                weighted = np.float32(weights[j] * q)
                terms[j] = np.float32(weights[j] * np.float32(gap * gap))
                terms[128 + j] = weighted
                terms[256 + j] = np.float32(weighted * q)
                terms[384 + j] = np.float32(weighted * values[j])
        error = _halve(terms, 0, count)
        if error < best[0]:
            best[0], best[1], best[2] = error, scale, bias
        if turn == TURNS - 1:
            return
        a, b, c = _halve(terms, 128, count), _halve(terms, 256, count), _halve(terms, 384, count)
        spread = np.float32(np.float32(mass * b) - np.float32(a * a))
        if not spread > _ZERO:
            return
        scale = _stored(np.float32(np.float32(np.float32(mass * c) - np.float32(a * total)) / spread), kind)
        bias = _stored(np.float32(np.float32(total - np.float32(scale * a)) / mass), kind)


@kernel
def _least(keys):  # type: ignore[no-untyped-def]
    """The least of 64 non-negative floats, given as their bits, with its index in the low 6 bits."""
    best = np.int32(0x7FFFFFFF)
    for c in range(SEEDS):
        key = np.int32(np.int32(keys[c] & np.int32(-SEEDS)) | np.int32(c))
        best = key if key < best else best
    return best


@kernel
def _cuts(values, weights, count, least, most, levels, kind, scales, inverses, biases, errors, keys):  # type: ignore[no-untyped-def]
    """Seeds for any values: their range, cut at either end by 0 to 7 eighths of a step. → the index of the best."""
    step = np.float32(np.float32(most - least) / levels)
    for c in range(SEEDS):
        low = np.float32(least + np.float32(np.float32(np.float32(c & 7) * _CUT) * step))
        high = np.float32(most - np.float32(np.float32(np.float32(c >> 3) * _CUT) * step))
        scale = _stored(np.float32(np.float32(high - low) / levels), kind)
        scales[c] = scale if scale > _LEAST_STEP else _LEAST_STEP
        inverses[c] = np.float32(_ONE / scales[c])
        biases[c] = _stored(low, kind)
        errors[c] = _ZERO
    for j in range(count):
        value, weight = values[j], weights[j]
        for c in range(SEEDS):
            x = np.float32(np.float32(value - biases[c]) * inverses[c])
            q = x if x > _ZERO else _ZERO
            q = q if q < levels else levels
            gap = np.float32(x - np.float32(np.float32(q + _ROUND) - _ROUND))
            errors[c] += np.float32(weight * np.float32(gap * gap))
    for c in range(SEEDS):
        errors[c] *= np.float32(scales[c] * scales[c])
    return _least(keys) & np.int32(SEEDS - 1)


@kernel
def _lattices(weights, deltas, blocks, tables, errors, keys):  # type: ignore[no-untyped-def]
    """Seeds for FP4 groups: the two best tables, each with its best lattice. `tables` [DELTAS, tables, 15·SEEDS] holds
    the squared error of every value but -0 on every lattice, so an error costs 15 products."""
    one, two = np.int32(0x7FFFFFFF), np.int32(0x7FFFFFFF)
    at_one, at_two = 0, 0
    for number in range(tables.shape[1]):
        for c in range(SEEDS):
            errors[c] = _ZERO
        for block in range(blocks):
            t = tables[deltas[block], number]
            h = weights[16 * block : 16 * block + 16]
            a0, a1, a2, a3 = np.float32(h[0] + h[8]), h[1], h[2], h[3]
            a4, a5, a6, a7 = h[4], h[5], h[6], h[7]
            b1, b2, b3, b4, b5, b6, b7 = h[9], h[10], h[11], h[12], h[13], h[14], h[15]
            for c in range(SEEDS):
                x = np.float32(errors[c] + np.float32(a0 * t[c]))
                x = np.float32(np.float32(x + np.float32(a1 * t[64 + c])) + np.float32(a2 * t[128 + c]))
                x = np.float32(np.float32(x + np.float32(a3 * t[192 + c])) + np.float32(a4 * t[256 + c]))
                x = np.float32(np.float32(x + np.float32(a5 * t[320 + c])) + np.float32(a6 * t[384 + c]))
                x = np.float32(np.float32(x + np.float32(a7 * t[448 + c])) + np.float32(b1 * t[512 + c]))
                x = np.float32(np.float32(x + np.float32(b2 * t[576 + c])) + np.float32(b3 * t[640 + c]))
                x = np.float32(np.float32(x + np.float32(b4 * t[704 + c])) + np.float32(b5 * t[768 + c]))
                errors[c] = np.float32(np.float32(x + np.float32(b6 * t[832 + c])) + np.float32(b7 * t[896 + c]))
        key = _least(keys)
        at = number * SEEDS + (key & np.int32(SEEDS - 1))
        if key < one:
            one, two, at_one, at_two = key, one, at, at_one
        elif key < two:
            two, at_two = key, at
    return at_one, at_two


@kernel
def _minmax(least, most, levels):  # type: ignore[no-untyped-def]
    """Unrounded scale and bias of `mx.quantize` (fact sheet mlx.md 2.1, the CPU column)."""
    negative = abs(least) > abs(most)
    scale = np.float32(np.float32(most - least) / levels)
    scale = scale if scale > _EPS else _EPS
    scale = scale if negative else -scale
    edge = least if negative else most
    ratio = np.float32(edge / scale)
    steps = np.float32(np.float32(ratio + _ROUND) - _ROUND) if abs(ratio) < _LIMIT else np.rint(ratio)
    zero = steps == _ZERO
    return (scale if zero else np.float32(edge / steps)), (_ZERO if zero else edge)


@kernel
def _error(values, weights, count, levels, scale, bias, stored_scale, stored_bias, sums):  # type: ignore[no-untyped-def]
    """Σ w·(v - ŵ)² of codes for (scale, bias), chosen as the packing kernel does, read with the stored ones."""
    for k in range(8):
        sums[k] = 0.0
    for i in range(0, count, 8):
        for k in range(8):
            q = np.float32(np.float32(values[i + k] - bias) / scale)
            q = q if q > _ZERO else _ZERO
            q = q if q < levels else levels
            q = np.float32(np.float32(q + _ROUND) - _ROUND)
            seen = np.float32(np.float32(q * stored_scale) + stored_bias)
            gap = np.float64(values[i + k]) - np.float64(seen)
            sums[k] += np.float64(weights[i + k]) * (gap * gap)
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))


@kernel
def _judge(values, weights, count, least, most, levels, kind, scale, bias, sums, out):  # type: ignore[no-untyped-def]
    """→ `out`: scale and bias to store, scale and bias to choose codes with. Those of minmax, unless (scale, bias), as
    stored, err less; a scale of 0 stands for no fit."""
    s, z = _minmax(least, most, levels)
    out[0], out[1], out[2], out[3] = _stored(s, kind), _stored(z, kind), s, z
    scale, bias = _stored(scale, kind), _stored(bias, kind)
    if scale == _ZERO or not np.isfinite(scale) or not np.isfinite(bias):
        return
    before = _error(values, weights, count, levels, s, z, out[0], out[1], sums)
    if _error(values, weights, count, levels, scale, bias, scale, bias, sums) < before * _BETTER:
        out[0], out[1], out[2], out[3] = scale, bias, scale, bias


@kernel
def _unit(x):  # type: ignore[no-untyped-def]
    """(unit, 1/unit): the power of two at or below x, kept within 2^±100."""
    exponent = np.int32(np.int32(np.float32(x).view(np.int32) >> 23) & 255)
    exponent = np.int32(27) if exponent < 27 else np.int32(227) if exponent > 227 else exponent
    return np.int32(exponent << 23).view(np.float32), np.int32(np.int32(254 - exponent) << 23).view(np.float32)


@kernel
def _rows_f32(rows, importance, bits, group_size, kind, out):  # type: ignore[no-untyped-def]
    levels = np.float32((1 << bits) - 1)
    scaled, terms, best = np.empty(group_size, np.float32), np.empty(768, np.float32), np.empty(3, np.float32)
    scales, biases, errors = np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32)
    inverses = np.empty(SEEDS, np.float32)
    keys, sums, four = errors.view(np.int32), np.empty(8, np.float64), np.empty(4, np.float32)
    for r in range(rows.shape[0]):
        for group in range(rows.shape[1] // group_size):
            values = rows[r, group * group_size : (group + 1) * group_size]
            weights = importance[group * group_size : (group + 1) * group_size]
            least, most = values[0], values[0]
            for j in range(group_size):
                least = values[j] if values[j] < least else least
                most = values[j] if values[j] > most else most
            unit, inverse = _unit(max(abs(least), abs(most)))
            for j in range(group_size):
                scaled[j] = np.float32(values[j] * inverse)
            low, high = np.float32(least * inverse), np.float32(most * inverse)
            best[0], best[1], best[2] = _INFINITE, _ZERO, _ZERO
            if high > low:
                c = _cuts(scaled, weights, group_size, low, high, levels, kind, scales, inverses, biases, errors, keys)
                _refine(scaled, weights, group_size, levels, kind, scales[c], biases[c], terms, best)
            scale, bias = np.float32(best[1] * unit), np.float32(best[2] * unit)
            _judge(values, weights, group_size, least, most, levels, kind, scale, bias, sums, four)
            for part in range(4):
                out[part, r, group] = four[part]


@kernel
def _tally(pairs, weighted, importance, counts, h):  # type: ignore[no-untyped-def]
    """What each code of a block weighs → `h` float32 [16]; `counts` is int32 [32] of scratch."""
    if weighted:
        for code in range(16):
            h[code] = _ZERO
        for j in range(16):
            h[pairs[j] & 15] += importance[2 * j]
            h[pairs[j] >> 4] += importance[2 * j + 1]
        return
    for code in range(32):
        counts[code] = 0
    for j in range(16):
        counts[pairs[j] & 15] += 1
        counts[16 + (pairs[j] >> 4)] += 1
    for code in range(16):
        h[code] = np.float32(counts[code] + counts[16 + code])


@kernel
def _grid(twice, deltas, bottom, weights, count, levels):  # type: ignore[no-untyped-def]
    """(step, least): the coarsest grid that holds all values, in half units of the smallest block; step 0 if it takes
    more than `levels` steps."""
    least, most = np.int64(1) << 40, -(np.int64(1) << 40)
    for j in range(count):
        if weights[j] > _ZERO:
            x = np.int64(twice[j & 15]) << max(deltas[j >> 4] - bottom, 0)
            least = x if x < least else least
            most = x if x > most else most
    step = np.int64(0)
    for j in range(count):
        if weights[j] > _ZERO:
            a, b = (np.int64(twice[j & 15]) << max(deltas[j >> 4] - bottom, 0)) - least, step
            while b:
                a, b = b, a % b
            step = a
            if step and most - least > step * levels:
                return np.int64(0), least
    return max(step, np.int64(1)), least


@kernel
def _spread_out(halves, powers, exponents, weights, blocks, values, deltas):  # type: ignore[no-untyped-def]
    """The values of every code of every block → `values`; each block's scale byte, -1 where it is all zeros → `deltas`.
    → greatest and least scale byte of the other blocks; -1 and 256 if there is none."""
    top, bottom = np.int64(-1), np.int64(256)
    for block in range(blocks):
        exponent = np.int64(exponents[block])
        others = _ZERO
        for code in range(1, 8):
            others += np.float32(weights[16 * block + code] + weights[16 * block + 8 + code])
        deltas[block] = exponent if others > _ZERO else np.int64(-1)
        if others > _ZERO:
            top, bottom = max(exponent, top), min(exponent, bottom)
        for code in range(16):
            values[16 * block + code] = np.float32(halves[code] * powers[exponent])
    return top, bottom


@kernel
def _scale_down(twice, powers, top, values, weights, blocks, scaled, deltas):  # type: ignore[no-untyped-def]
    """Values in half units of the block with the greatest scale → `scaled`; how far below each block is, as a number
    of its table → `deltas`. → least and most of `values`, least and most of `scaled`."""
    least, most, low, high = _INFINITE, -_INFINITE, _INFINITE, -_INFINITE
    for block in range(blocks):
        delta = top - deltas[block] if deltas[block] >= 0 else np.int64(0)
        fraction = powers[127 - delta] if delta < 60 else _ZERO
        deltas[block] = min(delta, np.int64(DELTAS - 1))
        for j in range(16 * block, 16 * block + 16):
            scaled[j] = np.float32(np.float32(twice[j & 15]) * fraction)
            if weights[j] > _ZERO:
                least, most = min(values[j], least), max(values[j], most)
                low, high = min(scaled[j], low), max(scaled[j], high)
    return least, most, low, high


@kernel
def _rows_fp4(  # type: ignore[no-untyped-def]
    packed, exponents, powers, halves, weighted, importance, search, bits, group_size, kind, steps, starts, tables, out
):
    levels = np.float32((1 << bits) - 1)
    blocks, count = group_size // 32, group_size // 2
    values, scaled, weights = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    terms, best, counts = np.empty(768, np.float32), np.empty(3, np.float32), np.empty(32, np.int32)
    scales, biases, errors = np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32), np.empty(SEEDS, np.float32)
    inverses = np.empty(SEEDS, np.float32)
    keys, sums, four = errors.view(np.int32), np.empty(8, np.float64), np.empty(4, np.float32)
    deltas, twice = np.empty(blocks, np.int64), (halves * np.float32(2.0)).astype(np.int64)
    for r in range(packed.shape[0]):
        for group in range(exponents.shape[1] // blocks):
            first = group * blocks
            for block in range(blocks):
                at = first + block
                columns = importance[32 * at : 32 * at + 32] if weighted else importance
                h = weights[16 * block : 16 * block + 16]
                _tally(packed[r, 16 * at : 16 * at + 16], weighted, columns, counts, h)
            scale_bytes = exponents[r, first : first + blocks]
            top, bottom = _spread_out(halves, powers, scale_bytes, weights, blocks, values, deltas)
            if top >= 0 and top - bottom <= 8:
                step, start = _grid(twice, deltas, bottom, weights, count, np.int64(levels))
                base = np.float32(powers[bottom] * _HALF)
                scale, bias = np.float32(np.float32(step) * base), np.float32(np.float32(start) * base)
                if step > 0 and _stored(scale, kind) == scale and _stored(bias, kind) == bias:
                    out[0, r, group], out[1, r, group] = scale, bias
                    out[2, r, group], out[3, r, group] = scale, bias
                    continue
            if top >= 0 and not search:
                return r * out.shape[2] + group
            unit = np.float32(powers[max(top, np.int64(0))] * _HALF)
            least, most, low, high = _scale_down(twice, powers, top, values, weights, blocks, scaled, deltas)
            best[0], best[1], best[2] = _INFINITE, _ZERO, _ZERO
            if max(-low, high) >= np.float32(6.0):
                one, two = _lattices(weights, deltas, blocks, tables, errors, keys)
                _refine(scaled, weights, count, levels, kind, steps[one], starts[one], terms, best)
                _refine(scaled, weights, count, levels, kind, steps[two], starts[two], terms, best)
            elif high > low:
                c = _cuts(scaled, weights, count, low, high, levels, kind, scales, inverses, biases, errors, keys)
                _refine(scaled, weights, count, levels, kind, scales[c], biases[c], terms, best)
            scale, bias = np.float32(best[1] * unit), np.float32(best[2] * unit)
            _judge(values, weights, count, least, most, levels, kind, scale, bias, sums, four)
            for part in range(4):
                out[part, r, group] = four[part]
    return -1


Array = np.ndarray
KINDS = {"F32": 0, "BF16": 1, "F16": 2}
_ONES = np.ones(32, np.float32)


def fit_f32(rows: Array, importance: Array, bits: int, group_size: int, dtype: str, out: Array) -> None:
    """rows float32 [n, in], finite; importance float32 [in], positive; dtype of stored scales and biases → out float32
    [4, n, in/group_size]: scales and biases as stored, scales and biases to choose the codes with. Those differ where
    minmax, which chooses codes before it rounds, is not bettered."""
    _rows_f32(rows, importance, bits, group_size, KINDS[dtype], out)


def fit_fp4(
    packed: Array,
    exponents: Array,
    importance: Array | None,
    bits: int,
    group_size: int,
    dtype: str,
    seeds: tuple[Array, Array, Array] | None,
    out: Array,
) -> int:
    """packed uint8 [n, in/2], exponents uint8 [n, in/32] whose values are finite in float32 → as `fit_f32`. `seeds`:
    `lattices.seeds(bits)`. Without seeds exact groups only: returns the flat index of the first other one, else -1."""
    weighted = importance is not None
    columns = _ONES if importance is None else importance
    search = seeds is not None
    steps, starts, tables = seeds if seeds is not None else (_ONES, _ONES, _NO_TABLES)
    return int(
        _rows_fp4(
            packed, exponents, E8M0, FP4, weighted, columns, search, bits, group_size, KINDS[dtype], steps, starts,
            tables, out,
        )
    )  # fmt: skip


_NO_TABLES = np.zeros((DELTAS, 0, 15 * SEEDS), np.float32)
