"""Floor 1, formats, kernels. MXTQ rows against exact ones, in one pass: encoded again, compared, measured.

The rotation is orthonormal, so Σ(seen−exact)² and Σexact² are the same in the rotated basis (Parseval), where the
stored numbers are `codebook[index] · norm`: the rows are rotated once, for the encoder's answer and for the error. Only
the gap is rotated back, for its largest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dsv4recipe.formats.kernels.compare import Gaps, fits
from dsv4recipe.formats.kernels.jit import kernel
from dsv4recipe.formats.mxtq.kernels.codec import (
    FLOATS,
    LANES,
    WORDS,
    butterflies,
    element,
    encode_lanes,
    place_of,
    splat,
)


def _word_gap(bits: int) -> Any:
    """word_gap(t, start, norms, levels, stored, place, sums): the columns of `t` that a stored word of 8 lanes holds
    become codebook level · norm − t; sums[0:8] += Σgap², sums[8:16] += Σt², per lane."""

    @intrinsic
    def word_gap(typing: Any, t: Any, start: Any, norms: Any, levels: Any, stored: Any, place: Any, sums: Any) -> Any:  # noqa: ARG001
        def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            kinds = signature.args
            zero = ir.Constant(args[1].type, 0)
            norm = builder.load(place_of(context, builder, kinds[2], args[2], zero, FLOATS), align=4)
            data = context.make_array(kinds[3])(context, builder, args[3]).data
            table = [
                splat(builder, builder.load(builder.gep(data, [ir.Constant(args[1].type, i)])))
                for i in range(1 << bits)
            ]
            words = builder.load(place_of(context, builder, kinds[4], args[4], args[5], WORDS), align=4)
            error = power = ir.Constant(FLOATS, [0.0] * LANES)
            none = ir.Constant(WORDS, [0] * LANES)
            for k in range(32 // bits):
                found = table
                for bit in range(bits):  # the level by halving the table, bit by bit
                    one = builder.and_(words, ir.Constant(WORDS, [1 << (k * bits + bit)] * LANES))
                    upper = builder.icmp_unsigned("!=", one, none)
                    found = [builder.select(upper, b, a) for a, b in zip(found[::2], found[1::2], strict=True)]
                column = place_of(context, builder, kinds[0], args[0], element(builder, args[1], k * LANES), FLOATS)
                x = builder.load(column, align=4)
                gap = builder.fsub(builder.fmul(found[0], norm), x)
                builder.store(gap, column, align=4)
                error = builder.fadd(error, builder.fmul(gap, gap))
                power = builder.fadd(power, builder.fmul(x, x))
            for number, value in enumerate((error, power)):
                offset = ir.Constant(args[1].type, number * LANES)
                total = place_of(context, builder, kinds[6], args[6], offset, FLOATS)
                builder.store(builder.fadd(builder.load(total, align=4), value), total, align=4)
            return context.get_dummy_value()

        return types.void(t, types.intp, norms, levels, stored, types.intp, sums), codegen

    return word_gap


_gap2, _gap4 = _word_gap(2), _word_gap(4)


@kernel
def _most(values, lanes):  # type: ignore[no-untyped-def]
    """The largest |value|, in as many running ones as there are lanes; NaN is not seen (it is in the sums)."""
    lanes[:] = np.float32(0.0)
    for start in range(0, values.size, lanes.size):
        part = values[start : start + lanes.size]
        for j in range(part.size):
            value = abs(part[j])
            lanes[j] = value if value > lanes[j] else lanes[j]
    return lanes.max()


@kernel
def _compare(rows, packed, stored, signs, blocks, scales, boundaries, levels, bits, norms, out):  # type: ignore[no-untyped-def]
    count, width = rows.shape
    t = np.zeros(width * LANES, np.float32)
    words = np.empty(packed.shape[1] * LANES, np.uint32)
    theirs = np.zeros(packed.shape[1] * LANES, np.uint32)
    lengths, wanted = np.empty(LANES, np.float32), np.zeros(LANES, np.float32)
    sums, lanes = np.empty(2 * LANES, np.float32), np.empty(64, np.float32)
    odd = np.uint32(0)
    for first in range(0, count, LANES):
        live = min(LANES, count - first)
        if live < LANES:
            wanted[:] = np.float32(0.0)
        encode_lanes(rows[first : first + live], signs, blocks, scales, boundaries, bits, t, lengths, words)
        for lane in range(live):
            norms[first + lane] = lengths[lane]
            wanted[lane] = stored[first + lane]
        for w in range(packed.shape[1]):
            for lane in range(live):
                word = packed[first + lane, w]
                theirs[w * LANES + lane] = word
                odd |= word ^ words[w * LANES + lane]
        sums[:] = np.float32(0.0)
        for w in range(packed.shape[1]):
            if bits == 2:
                _gap2(t, w * 16 * LANES, wanted, levels, theirs, w * LANES, sums)
            else:
                _gap4(t, w * 8 * LANES, wanted, levels, theirs, w * LANES, sums)
        for lane in range(live):
            out[0] += np.float64(sums[lane])
            out[1] += np.float64(sums[LANES + lane])
        start = 0
        for size in blocks:
            butterflies(t, start, 1, size)
            most = np.float64(_most(t[start * LANES : (start + size) * LANES], lanes) * scales[start])
            out[2] = most if most > out[2] else out[2]
            start += size
    return odd == np.uint32(0)


def mxtq_distance(
    packed: np.ndarray, norms: np.ndarray, constants: tuple[np.ndarray, ...], levels: np.ndarray, exact: np.ndarray
) -> tuple[Gaps | None, bool, np.ndarray]:
    """Returns the gaps between exact float32 [n, in] and what packed uint32 [n, in·bits/32] with float32 norms [n]
    decode to; whether `quantize` gives those words; and the float32 norms [n] that it gives.

    constants: signs, blocks, scales, boundaries as `quantize` takes them; levels float32 [2^bits], ascending. The gaps
    are None where squares leave float32: decode, then `distance`.
    """
    out, again = np.zeros(3, np.float64), np.empty(exact.shape[0], np.float32)
    bits = levels.size.bit_length() - 1
    alike = bool(_compare(exact, packed, norms, *constants, levels, bits, again, out))
    return ((float(out[0]), float(out[1]), float(out[2])) if fits(out, exact.size) else None), alike, again
