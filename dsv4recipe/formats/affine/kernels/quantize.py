"""Floor 1, formats, kernels. MLX affine quantization of float32 rows and of FP4 rows, packing included.

Rule: docs/reference/formats.md, affine. A row goes through short loops over buffers that stay in the first-level
cache, each written so that LLVM vectorises it: extremes of every 32 columns; scale and bias of every group; codes;
words. FP4 rows stay in their 8-bit whole numbers until the codes are chosen: value = number · factor of the block.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel
from dsv4recipe.formats.kernels.tables import E8M0

_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, half to even, left in the low bits
_LIMIT = np.float32(4194304.0)  # 2^22: that holds below
_EPS = np.float32(1e-7)
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)


@kernel
def _fold(values, keep_less, count, out):  # type: ignore[no-untyped-def]
    """Least (or greatest) of every 4 neighbours. Only selects: no rounding, and elementwise, so it vectorises."""
    if keep_less:
        for i in range(count):
            a, b, c, d = values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]
            x = a if a < b else b
            y = c if c < d else d
            out[i] = x if x < y else y
    else:
        for i in range(count):
            a, b, c, d = values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]
            x = a if a > b else b
            y = c if c > d else d
            out[i] = x if x > y else y


@kernel
def _extremes(row, factors, blocks, quarter, least, most, low, high):  # type: ignore[no-untyped-def]
    """Least and greatest of every 32 columns, times the block's factor (positive, so order is kept)."""
    _fold(row, True, blocks * 8, quarter)
    _fold(quarter, True, blocks * 2, least)
    _fold(row, False, blocks * 8, quarter)
    _fold(quarter, False, blocks * 2, most)
    for i in range(blocks):
        a, b = least[2 * i], least[2 * i + 1]
        c, d = most[2 * i], most[2 * i + 1]
        low[i] = np.float32(a if a < b else b) * factors[i]
        high[i] = np.float32(c if c > d else d) * factors[i]


@kernel
def _fit(low, high, per_group, levels, groups, scales, biases):  # type: ignore[no-untyped-def]
    """Unrounded float32 scale and bias of each group from the extremes of its 32-column blocks."""
    for k in range(1, per_group):
        for group in range(groups):
            a, b = low[group * per_group], low[group * per_group + k]
            c, d = high[group * per_group], high[group * per_group + k]
            low[group * per_group] = a if a < b else b
            high[group * per_group] = c if c > d else d
    for group in range(groups):
        least = low[group * per_group]
        most = high[group * per_group]
        negative = abs(least) > abs(most)
        scale = (most - least) / levels
        scale = scale if scale > _EPS else _EPS
        scale = scale if negative else -scale
        edge = least if negative else most
        ratio = edge / scale
        steps = ((ratio + _ROUND) - _ROUND) if abs(ratio) < _LIMIT else np.rint(ratio)
        zero = steps == _ZERO
        scales[group] = scale if zero else edge / steps
        biases[group] = _ZERO if zero else edge


@kernel
def _spread(scales, biases, per_group, groups, block_scales, block_biases):  # type: ignore[no-untyped-def]
    """Scale and bias of each 32-column block's group."""
    for k in range(per_group):
        for group in range(groups):
            block_scales[group * per_group + k] = scales[group]
            block_biases[group * per_group + k] = biases[group]


@kernel
def _codes(row, factors, blocks, scales, biases, levels, codes):  # type: ignore[no-untyped-def]
    """One byte per column: rint((w - bias) / scale), half to even, clamped to 0..levels."""
    for block in range(blocks):
        scale = scales[block]
        bias = biases[block]
        factor = factors[block]
        values = row[block * 32 : block * 32 + 32]
        out = codes[block * 32 : block * 32 + 32]
        for j in range(32):
            q = (np.float32(values[j]) * factor - bias) / scale
            q = q if q > _ZERO else _ZERO
            q = q if q < levels else levels
            out[j] = np.uint8(np.float32(q + _ROUND).view(np.int32) & np.int32(0xFF))


@kernel
def _pack(eights, bits, blocks, words):  # type: ignore[no-untyped-def]  # noqa: PLR0915 - six widths spelled out
    """One LSB-first bit stream: 8 codes a uint64 → 8·bits bits, by pairs, fours and eights; then uint32 words."""
    one = np.uint64(8 - bits)
    two = np.uint64(16 - 2 * bits)
    four = np.uint64(32 - 4 * bits)
    # Of every pair of codes, of pairs, of fours: the lower one stays, the upper one moves down to join it.
    low1 = np.uint64(((1 << bits) - 1) * 0x0001000100010001)
    low2 = np.uint64(((1 << (2 * bits)) - 1) * 0x0000000100000001)
    low4 = np.uint64((1 << (4 * bits)) - 1)
    high1, high2, high4 = low1 << np.uint64(bits), low2 << np.uint64(2 * bits), low4 << np.uint64(4 * bits)
    if bits < 8:
        for i in range(blocks * 4):
            x = eights[i]
            x = (x & low1) | ((x >> one) & high1)
            x = (x & low2) | ((x >> two) & high2)
            eights[i] = (x & low4) | ((x >> four) & high4)
    for i in range(blocks):
        a, b, c, d = eights[4 * i], eights[4 * i + 1], eights[4 * i + 2], eights[4 * i + 3]
        k = i * bits
        if bits == 2:
            words[k] = np.uint32(a | (b << np.uint64(16)))
            words[k + 1] = np.uint32(c | (d << np.uint64(16)))
        elif bits == 3:
            ab = a | (b << np.uint64(24)) | (c << np.uint64(48))
            words[k] = np.uint32(ab)
            words[k + 1] = np.uint32(ab >> np.uint64(32))
            words[k + 2] = np.uint32((c >> np.uint64(16)) | (d << np.uint64(8)))
        elif bits == 4:
            words[k] = np.uint32(a)
            words[k + 1] = np.uint32(b)
            words[k + 2] = np.uint32(c)
            words[k + 3] = np.uint32(d)
        elif bits == 5:
            ab = a | (b << np.uint64(40))
            cd = (b >> np.uint64(24)) | (c << np.uint64(16)) | (d << np.uint64(56))
            words[k] = np.uint32(ab)
            words[k + 1] = np.uint32(ab >> np.uint64(32))
            words[k + 2] = np.uint32(cd)
            words[k + 3] = np.uint32(cd >> np.uint64(32))
            words[k + 4] = np.uint32(d >> np.uint64(8))
        elif bits == 6:
            ab = a | (b << np.uint64(48))
            bc = (b >> np.uint64(16)) | (c << np.uint64(32))
            cd = (c >> np.uint64(32)) | (d << np.uint64(16))
            words[k] = np.uint32(ab)
            words[k + 1] = np.uint32(ab >> np.uint64(32))
            words[k + 2] = np.uint32(bc)
            words[k + 3] = np.uint32(bc >> np.uint64(32))
            words[k + 4] = np.uint32(cd)
            words[k + 5] = np.uint32(cd >> np.uint64(32))
        else:
            words[k], words[k + 1] = np.uint32(a), np.uint32(a >> np.uint64(32))
            words[k + 2], words[k + 3] = np.uint32(b), np.uint32(b >> np.uint64(32))
            words[k + 4], words[k + 5] = np.uint32(c), np.uint32(c >> np.uint64(32))
            words[k + 6], words[k + 7] = np.uint32(d), np.uint32(d >> np.uint64(32))


@kernel
def pack_words(eights, bits, blocks, words):  # type: ignore[no-untyped-def]
    """`_pack`, inlined once for each width, so that its shifts and masks are constants."""
    if bits == 2:
        _pack(eights, 2, blocks, words)
    elif bits == 3:
        _pack(eights, 3, blocks, words)
    elif bits == 4:
        _pack(eights, 4, blocks, words)
    elif bits == 5:
        _pack(eights, 5, blocks, words)
    elif bits == 6:
        _pack(eights, 6, blocks, words)
    else:
        _pack(eights, 8, blocks, words)


@kernel
def _rows_f32(rows, bits, group_size, fitted, words, scales, biases):  # type: ignore[no-untyped-def]
    blocks = rows.shape[1] // 32
    per_group = group_size // 32
    groups = blocks // per_group
    levels = np.float32((1 << bits) - 1)
    factors = np.ones(blocks, np.float32)
    quarter, least, most = (
        np.empty(blocks * 8, np.float32),
        np.empty(blocks * 2, np.float32),
        np.empty(blocks * 2, np.float32),
    )
    low, high = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    eights = np.empty(blocks * 4, np.uint64)
    codes = eights.view(np.uint8)
    for r in range(rows.shape[0]):
        row = rows[r]
        if not fitted:
            _extremes(row, factors, blocks, quarter, least, most, low, high)
            _fit(low, high, per_group, levels, groups, scales[r], biases[r])
        _spread(scales[r], biases[r], per_group, groups, low, high)
        _codes(row, factors, blocks, low, high, levels, codes)
        pack_words(eights, bits, blocks, words[r])


@kernel
def _twice_fp4(code):  # type: ignore[no-untyped-def]
    """Twice the value of an E2M1 code in the low 4 bits, int8: 0 1 2 3 4 6 8 12 and their negatives."""
    magnitude = np.uint8(code & np.uint8(7))
    over4 = np.uint8(magnitude - np.uint8(4)) if magnitude > np.uint8(4) else np.uint8(0)
    over6 = np.uint8(2) if magnitude > np.uint8(6) else np.uint8(0)
    twice = np.uint8(np.uint8(magnitude + over4) + over6)
    return np.int8(np.uint8(np.uint8(0) - twice) if np.uint8(code & np.uint8(8)) != np.uint8(0) else twice)


@kernel
def _rows_fp4(packed, exponents, powers, bits, group_size, fitted, words, scales, biases):  # type: ignore[no-untyped-def]
    blocks = exponents.shape[1]
    per_group = group_size // 32
    groups = blocks // per_group
    levels = np.float32((1 << bits) - 1)
    factors = np.empty(blocks, np.float32)
    quarter, least, most = np.empty(blocks * 8, np.int8), np.empty(blocks * 2, np.int8), np.empty(blocks * 2, np.int8)
    low, high = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    eights = np.empty(blocks * 4, np.uint64)
    codes = eights.view(np.uint8)
    row = np.empty(blocks * 32, np.int8)
    for r in range(packed.shape[0]):
        source = packed[r]
        for j in range(blocks * 16):
            row[2 * j] = _twice_fp4(source[j])
            row[2 * j + 1] = _twice_fp4(np.uint8(source[j] >> np.uint8(4)))
        for block in range(blocks):
            factors[block] = powers[exponents[r, block]] * _HALF
        if not fitted:
            _extremes(row, factors, blocks, quarter, least, most, low, high)
            _fit(low, high, per_group, levels, groups, scales[r], biases[r])
        _spread(scales[r], biases[r], per_group, groups, low, high)
        _codes(row, factors, blocks, low, high, levels, codes)
        pack_words(eights, bits, blocks, words[r])


Array = np.ndarray


def quantize_f32(
    rows: Array, bits: int, group_size: int, words: Array, scales: Array, biases: Array, fitted: bool = False
) -> None:
    """rows float32 [n, in], finite → words uint32 [n, in·bits/32], scales, biases float32 [n, in/group_size].

    Scale and bias are the unrounded ones the codes were chosen with; `fitted`: those that are given.
    """
    _rows_f32(rows, bits, group_size, fitted, words, scales, biases)


def quantize_fp4(
    packed: Array,
    exponents: Array,
    bits: int,
    group_size: int,
    words: Array,
    scales: Array,
    biases: Array,
    fitted: bool = False,
) -> None:
    """packed uint8 [n, in/2], exponents uint8 [n, in/32] whose values are finite in float32 → as `quantize_f32`."""
    _rows_fp4(packed, exponents, E8M0, bits, group_size, fitted, words, scales, biases)
