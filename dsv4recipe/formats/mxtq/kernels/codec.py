"""Floor 1, formats, kernels. MXTQ: signs, blockwise Hadamard rotation, row norms, codebook indices; and back.

Codec: docs/reference/formats.md, mxtq. Eight rows go side by side through scratch memory `t`, float32 [in · 8], column
after column, row in lane: so the sum of squares of a row, which must run strictly left to right, still vectorises,
across rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dsv4recipe.formats.kernels.jit import kernel

LANES = 8
_CHUNK = 512  # columns whose lanes fit the first-level cache: 16 KiB
FLOATS = ir.VectorType(ir.FloatType(), LANES)
WORDS = ir.VectorType(ir.IntType(32), LANES)

# The three intrinsics below spell out vectors of eight lanes in LLVM's portable vector types, because LLVM cannot
# prove from a loop that the places they touch do not overlap. They are plain IEEE operations without flags.


def place_of(context: Any, builder: Any, kind: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """Pointer to eight lanes at element `offset` of a numba array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), lanes.as_pointer())


def element(builder: Any, start: Any, number: int) -> Any:
    return builder.add(start, ir.Constant(start.type, number))


def splat(builder: Any, value: Any) -> Any:
    single = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, single, ir.Constant(WORDS, [0] * LANES))


def _butterfly(radix: int) -> Any:
    """butterfly(t, start, step): log2(radix) levels at once over t[start + k·step][8 lanes], k < radix.

    The same additions in the same order as one level after the other, held in registers in between.
    """

    @intrinsic
    def butterfly(typing: Any, t: Any, start: Any, step: Any) -> Any:  # noqa: ARG001 - numba's protocol
        def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            places = []
            for k in range(radix):
                offset = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, k)))
                places.append(place_of(context, builder, signature.args[0], args[0], offset, FLOATS))
            x = [builder.load(place, align=4) for place in places]
            run = 1
            while run < radix:
                for k in range(radix):
                    if not k & run:
                        a, b = x[k], x[k + run]
                        x[k], x[k + run] = builder.fadd(a, b), builder.fsub(a, b)
                run *= 2
            for value, place in zip(x, places, strict=True):
                builder.store(value, place, align=4)
            return context.get_dummy_value()

        return types.void(t, types.intp, types.intp), codegen

    return butterfly


def _word(bits: int) -> Any:
    """word(t, start, least, boundaries, out, place): out[place][8 lanes] = the indices of the word's columns.

    The index of a value is the number of boundaries strictly below t / least: a tie takes the lower one.
    """

    @intrinsic
    def word(typing: Any, t: Any, start: Any, least: Any, boundaries: Any, out: Any, place: Any) -> Any:  # noqa: ARG001
        def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            kinds = signature.args
            zero = ir.Constant(args[1].type, 0)
            norm = builder.load(place_of(context, builder, kinds[2], args[2], zero, FLOATS), align=4)
            edges = context.make_array(kinds[3])(context, builder, args[3]).data
            count = (1 << bits) - 1
            bounds = [
                splat(builder, builder.load(builder.gep(edges, [ir.Constant(args[1].type, i)]))) for i in range(count)
            ]
            packed = ir.Constant(WORDS, [0] * LANES)
            for k in range(32 // bits):
                column = place_of(context, builder, kinds[0], args[0], element(builder, args[1], k * LANES), FLOATS)
                q = builder.fdiv(builder.load(column, align=4), norm)
                index = ir.Constant(WORDS, [0] * LANES)
                for bound in bounds:
                    index = builder.add(index, builder.zext(builder.fcmp_ordered(">", q, bound), WORDS))
                packed = builder.or_(packed, builder.shl(index, ir.Constant(WORDS, [k * bits] * LANES)))
            builder.store(packed, place_of(context, builder, kinds[4], args[4], args[5], WORDS), align=4)
            return context.get_dummy_value()

        return types.void(t, types.intp, least, boundaries, out, types.intp), codegen

    return word


def _add_squares(typing: Any, t: Any, start: Any, scales: Any, first: Any, sums: Any) -> Any:  # noqa: ARG001
    """Returns scales 8 columns of `t` from element `start`, column `first`, and adds their squares to `sums`, in
    order."""

    def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
        kinds = signature.args
        factors = context.make_array(kinds[2])(context, builder, args[2]).data
        total = place_of(context, builder, kinds[4], args[4], ir.Constant(args[1].type, 0), FLOATS)
        value = builder.load(total, align=4)
        for k in range(8):
            column = place_of(context, builder, kinds[0], args[0], element(builder, args[1], k * LANES), FLOATS)
            factor = splat(builder, builder.load(builder.gep(factors, [element(builder, args[3], k)])))
            x = builder.fmul(builder.load(column, align=4), factor)
            builder.store(x, column, align=4)
            value = builder.fadd(value, builder.fmul(x, x))
        builder.store(value, total, align=4)
        return context.get_dummy_value()

    return types.void(t, types.intp, scales, types.intp, sums), codegen


_square_columns: Any = intrinsic(_add_squares)


def _turned(typing: Any, rows: Any, first: Any, columns: Any, signs: Any, t: Any) -> Any:  # noqa: ARG001
    """turned(rows, first, columns, signs, t): 8 columns from element `first` of 8 C-contiguous rows of `columns`
    columns, times their signs, into the lanes of `t`: an 8 × 8 transpose in registers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
        kinds = signature.args
        flips = builder.load(place_of(context, builder, kinds[3], args[3], args[1], FLOATS), align=4)
        x = []
        for lane in range(LANES):
            offset = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, lane)))
            row = builder.load(place_of(context, builder, kinds[0], args[0], offset, FLOATS), align=4)
            x.append(builder.fmul(row, flips))
        for run in (4, 2, 1):  # swap the off-diagonal blocks of size `run`
            low = [k if not k & run else k - run + LANES for k in range(LANES)]
            high = [k + run if not k & run else k + LANES for k in range(LANES)]
            for k in range(LANES):
                if not k & run:
                    a, b = x[k], x[k + run]
                    x[k], x[k + run] = (builder.shuffle_vector(a, b, ir.Constant(WORDS, m)) for m in (low, high))
        for k, column in enumerate(x):
            offset = builder.mul(element(builder, args[1], k), ir.Constant(args[1].type, LANES))
            builder.store(column, place_of(context, builder, kinds[4], args[4], offset, FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, signs, t), codegen


_turn: Any = intrinsic(_turned)


_butterfly2, _butterfly4, _butterfly8 = _butterfly(2), _butterfly(4), _butterfly(8)
_word2, _word4 = _word(2), _word(4)


@kernel
def butterflies(t, first, run, size):  # type: ignore[no-untyped-def]
    """Butterfly levels of runs `run`, 2·run, … size/2 over columns first … first + size of `t`."""
    while run < size:
        radix = 8 if run * 8 <= size else 4 if run * 4 <= size else 2
        for base in range(first, first + size, radix * run):
            for j in range(base, base + run):
                if radix == 8:
                    _butterfly8(t, j * LANES, run * LANES)
                elif radix == 4:
                    _butterfly4(t, j * LANES, run * LANES)
                else:
                    _butterfly2(t, j * LANES, run * LANES)
        run *= radix


@kernel
def rotate(rows, signs, blocks, t):  # type: ignore[no-untyped-def]
    """Up to 8 `rows` times `signs`, into the lanes of `t`, each block of columns Hadamard-transformed, unscaled."""
    first = 0
    for size in blocks:
        chunk = min(size, _CHUNK)
        step = min(size, 8)
        for start in range(first, first + size, chunk):
            for j in range(start, start + chunk, step):
                if step == LANES and rows.shape[0] == LANES:
                    _turn(rows, j, rows.shape[1], signs, t)
                    continue
                for lane in range(rows.shape[0]):
                    for k in range(j, j + step):
                        t[k * LANES + lane] = rows[lane, k] * signs[k]
            butterflies(t, start, 1, chunk)
        butterflies(t, first, chunk, size)
        first += size


@kernel
def scale_and_norm(t, scales, norms):  # type: ignore[no-untyped-def]
    """Scales the columns of `t` and takes each lane's L2 norm, summed strictly left to right."""
    norms[:] = np.float32(0.0)
    for j in range(0, scales.size, 8):
        _square_columns(t, j * LANES, scales, j, norms)
    for lane in range(LANES):
        norms[lane] = np.sqrt(norms[lane])


@kernel
def indices(t, norms, boundaries, bits, words):  # type: ignore[no-untyped-def]
    """words uint32 [in·bits/32 · 8 lanes]: for each value the number of boundaries below value / norm."""
    least = np.empty(LANES, np.float32)
    for lane in range(LANES):
        least[lane] = max(norms[lane], np.float32(1e-10))
    for w in range(words.size // LANES):
        if bits == 2:
            _word2(t, w * 16 * LANES, least, boundaries, words, w * LANES)
        else:
            _word4(t, w * 8 * LANES, least, boundaries, words, w * LANES)


@kernel
def encode_lanes(rows, signs, blocks, scales, boundaries, bits, t, lengths, words):  # type: ignore[no-untyped-def]
    """Up to 8 `rows` → `words` by lane and the norms `lengths`; `t` is left with the rotated rows. Lanes without a row
    are those of zeros."""
    if rows.shape[0] < LANES:
        t[:] = np.float32(0.0)
    rotate(rows, signs, blocks, t)
    scale_and_norm(t, scales, lengths)
    indices(t, lengths, boundaries, bits, words)


@kernel
def quantize(rows, signs, blocks, scales, boundaries, bits, t, packed, norms):  # type: ignore[no-untyped-def]
    """rows float32 [n, in] → packed uint32 [n, in·bits/32], norms float32 [n] (Inf or NaN where it overflows).

    signs, scales float32 [in]; blocks int64, the Hadamard blocks; boundaries float32 [2^bits - 1]; bits 2 or 4; t
    float32 [in·8], memory to work in: a malloc that gives so much back at once would fetch its pages each time.
    """
    count = rows.shape[0]
    words = np.empty(packed.shape[1] * LANES, np.uint32)
    lengths = np.empty(LANES, np.float32)
    for first in range(0, count, LANES):
        live = min(LANES, count - first)
        encode_lanes(rows[first : first + live], signs, blocks, scales, boundaries, bits, t, lengths, words)
        for lane in range(live):
            norms[first + lane] = lengths[lane]
        for w in range(packed.shape[1]):
            for lane in range(live):
                packed[first + lane, w] = words[w * LANES + lane]


@kernel
def turn(rows, signs, blocks, scales, t, out, norms):  # type: ignore[no-untyped-def]
    """rows float32 [n, in] → out float32 [n, in], rotated; norms float32 [n], those of `quantize`. t: as there."""
    lengths = np.empty(LANES, np.float32)
    count = rows.shape[0]
    for first in range(0, count, LANES):
        live = min(LANES, count - first)
        if live < LANES:
            t[:] = np.float32(0.0)
        rotate(rows[first : first + live], signs, blocks, t)
        scale_and_norm(t, scales, lengths)
        for lane in range(live):
            norms[first + lane] = lengths[lane]
            for j in range(rows.shape[1]):
                out[first + lane, j] = t[j * LANES + lane]


@kernel
def dequantize(packed, norms, signs, blocks, scales, codebook, bits, out):  # type: ignore[no-untyped-def]
    """packed uint32 [n, in·bits/32], norms float32 [n] as stored → out float32 [n, in] in the original basis."""
    count, width = out.shape
    per_word = 32 // bits
    mask = (1 << bits) - 1
    t = np.zeros(width * LANES, np.float32)
    for first in range(0, count, LANES):
        live = min(LANES, count - first)
        for j in range(width):
            for lane in range(live):
                word = np.int64(packed[first + lane, j // per_word])
                t[j * LANES + lane] = codebook[(word >> (j % per_word * bits)) & mask] * norms[first + lane]
        start = 0
        for size in blocks:
            butterflies(t, start, 1, size)
            start += size
        for j in range(width):
            for lane in range(live):
                out[first + lane, j] = (t[j * LANES + lane] * scales[j]) * signs[j]
