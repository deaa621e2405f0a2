"""Floor 1, formats, kernels. How far stored numbers are from exact ones: sums of squares and the largest gap.

Squares are float32, in many running sums that go to float64 every few terms: good to some parts in ten million, and
three times as fast. Where float32 has no place for the squares, everything is done again in float64. Order is fixed.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel

_LANES = 512
_LEAST, _MOST = 1e-28, 1e28  # mean squares between which float32 loses nothing that matters

Gaps = tuple[float, float, float]
"""(Σ(seen−exact)², Σexact², max|seen−exact|)."""


@kernel
def _lanes(exact, seen, error, power, most):  # type: ignore[no-untyped-def]
    """As many running sums as there are lanes: no addition waits for another, so the loop vectorises."""
    for j in range(exact.size):
        w = exact[j]
        gap = seen[j] - w
        error[j] += gap * gap
        power[j] += w * w
        gap = abs(gap)
        most[j] = gap if gap > most[j] else most[j]


@kernel
def _flush(error, power, most, out):  # type: ignore[no-untyped-def]
    for j in range(error.size):
        out[0] += np.float64(error[j])
        out[1] += np.float64(power[j])
        out[2] = np.float64(most[j]) if most[j] > out[2] else out[2]
        error[j] = 0
        power[j] = 0


@kernel
def _distance(exact, seen, lanes, out):  # type: ignore[no-untyped-def]
    error, power, most = lanes[0], lanes[1], lanes[2]
    count = error.size
    for number, start in enumerate(range(0, exact.size, count)):
        stop = min(start + count, exact.size)
        _lanes(exact[start:stop], seen[start:stop], error, power, most)
        if number % 16 == 15:
            _flush(error, power, most, out)
    _flush(error, power, most, out)


@kernel
def _spread(row, bits, codes):  # type: ignore[no-untyped-def]
    """row uint8: one LSB-first bit stream → codes float32: eight codes of every `bits` bytes."""
    mask = np.uint64((1 << bits) - 1)
    for k in range(codes.size // 8):
        word = np.uint64(0)
        for i in range(bits):
            word |= np.uint64(row[k * bits + i]) << np.uint64(8 * i)
        for j in range(8):
            codes[8 * k + j] = np.float32(np.int32((word >> np.uint64(bits * j)) & mask))


@kernel
def _spread_codes(row, bits, codes):  # type: ignore[no-untyped-def]
    """`_spread`, inlined once for each width, so that its shifts and masks are constants."""
    if bits == 2:
        _spread(row, 2, codes)
    elif bits == 3:
        _spread(row, 3, codes)
    elif bits == 4:
        _spread(row, 4, codes)
    elif bits == 5:
        _spread(row, 5, codes)
    elif bits == 6:
        _spread(row, 6, codes)
    else:
        for j in range(codes.size):
            codes[j] = np.float32(row[j])


@kernel
def _affine(packed, scales, biases, bits, group_size, exact, lanes, out):  # type: ignore[no-untyped-def]
    columns = exact.shape[1]
    codes = np.empty(columns, np.float32)
    error, power, most = lanes[0], lanes[1], lanes[2]
    for r in range(exact.shape[0]):
        _spread_codes(packed[r], bits, codes)
        for group in range(scales.shape[1]):
            scale, bias = scales[r, group], biases[r, group]
            part = codes[group * group_size : (group + 1) * group_size]
            for j in range(group_size):
                part[j] = part[j] * scale + bias
        for start in range(0, columns, error.size):
            stop = min(start + error.size, columns)
            _lanes(exact[r, start:stop], codes[start:stop], error, power, most)
        if r % 8 == 7:
            _flush(error, power, most, out)
    _flush(error, power, most, out)


@kernel
def _same(one, other):  # type: ignore[no-untyped-def]
    for start in range(0, one.size, 4096):
        stop = min(start + 4096, one.size)
        odd = np.uint8(0)
        for i in range(start, stop):
            odd |= one[i] ^ other[i]
        if odd:
            return False
    return True


def same_bytes(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether two C-contiguous arrays hold the same bytes, whatever their types; without the GIL and a copy."""
    a, b = (array.reshape(-1).view(np.uint8) for array in (one, other))
    return a.size == b.size and bool(_same(a, b))


def distance(exact: np.ndarray, seen: np.ndarray) -> Gaps:
    """Returns the gaps between two float32 arrays of one size; the sums are not finite where one of them is not."""
    exact, seen = exact.ravel(), seen.ravel()
    out = np.zeros(3, np.float64)
    _distance(exact, seen, np.zeros((3, _LANES), np.float32), out)
    if not fits(out, exact.size):
        out[:] = 0
        with np.errstate(invalid="ignore"):  # a NaN that signals
            wide = exact.astype(np.float64), seen.astype(np.float64)
        _distance(*wide, np.zeros((3, _LANES), np.float64), out)
    return float(out[0]), float(out[1]), float(out[2])


def affine_distance(
    words: np.ndarray, scales: np.ndarray, biases: np.ndarray, bits: int, group_size: int, exact: np.ndarray
) -> Gaps | None:
    """Returns the gaps between exact float32 [n, in] and what affine words uint32 [n, in·bits/32] with float32 scales
    and biases decode to, q·s + z in two roundings, without storing it. None where squares leave float32: decode, then
    `distance`."""
    out = np.zeros(3, np.float64)
    _affine(words.view(np.uint8), scales, biases, bits, group_size, exact, np.zeros((3, _LANES), np.float32), out)
    return (float(out[0]), float(out[1]), float(out[2])) if fits(out, exact.size) else None


def fits(out: np.ndarray, count: int) -> bool:
    """Returns whether float32 held every square that matters."""
    mean, gap = out[1] / max(count, 1), out[0] / max(count, 1)
    return bool(out[1] == out[2] == 0 or (_LEAST < mean < _MOST and (gap > _LEAST or out[2] == 0) and gap < _MOST))
