"""Floor 1, formats, kernels, calibrated. The one product that all heavy sums are made of: a tile of 4 by 16.

`tile` spells out its registers in LLVM's portable vector types, because a compiler finds neither them nor their order
in a loop. Each step is `llvm.fma` without flags: one IEEE 754-2008 rounding, on every machine, and terms add up in the
order of k. A processor without the instruction computes the same bits slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dsv4recipe.formats.kernels.jit import kernel

LANES = 16
ROWS = 4
DEPTH = 256
"""Terms that are summed in registers before they are added to memory: it decides bits."""
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)


def _tile(typing, c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count):  # type: ignore[no-untyped-def]
    """c[c_at + i·c_row + lane] += Σ_k a[a_at + i·a_row + k·a_step] · b[b_at + k·b_step + lane] for 4 rows i, 16 lanes
    and `count` (at least 1) terms k, in their order. Flat float32 arrays, int64 places."""

    _ = typing, c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count  # numba's protocol gives types

    def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
        arrays = {n: context.make_array(signature.args[n])(context, builder, args[n]).data for n in (0, 3, 7)}
        _, c_at, c_row, _, a_at, a_row, a_step, _, b_at, b_step, count = args
        word = c_at.type
        fma = _declared(builder)

        def lanes(array: int, offset: Any) -> Any:
            return builder.bitcast(builder.gep(arrays[array], [offset]), _FLOATS.as_pointer())

        zero = ir.Constant(_FLOATS, [0.0] * LANES)
        before, loop, after = builder.block, builder.append_basic_block("terms"), builder.append_basic_block("sums")
        a_rows = [builder.add(a_at, builder.mul(a_row, ir.Constant(word, i))) for i in range(ROWS)]
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(word)
        a_k, b_k = builder.phi(word), builder.phi(word)
        sums = [builder.phi(_FLOATS) for _ in range(ROWS)]
        k.add_incoming(ir.Constant(word, 0), before)
        a_k.add_incoming(ir.Constant(word, 0), before)
        b_k.add_incoming(b_at, before)
        right = builder.load(lanes(7, b_k), align=4)
        following = []
        for i in range(ROWS):
            sums[i].add_incoming(zero, before)
            left = builder.load(builder.gep(arrays[3], [builder.add(a_rows[i], a_k)]), align=4)
            following.append(builder.call(fma, [_splat(builder, left), right, sums[i]]))
        next_k = builder.add(k, ir.Constant(word, 1))
        k.add_incoming(next_k, loop)
        a_k.add_incoming(builder.add(a_k, a_step), loop)
        b_k.add_incoming(builder.add(b_k, b_step), loop)
        for i in range(ROWS):
            sums[i].add_incoming(following[i], loop)
        builder.cbranch(builder.icmp_signed("<", next_k, count), loop, after)
        builder.position_at_end(after)
        for i in range(ROWS):
            place = lanes(0, builder.add(c_at, builder.mul(c_row, ir.Constant(word, i))))
            builder.store(builder.fadd(builder.load(place, align=4), following[i]), place, align=4)
        return context.get_dummy_value()

    flat, at = types.Array(types.float32, 1, "C"), types.int64
    return types.void(flat, at, at, flat, at, at, at, flat, at, at, at), codegen


tile: Any = intrinsic(_tile)


def _splat(builder: Any, value: Any) -> Any:
    single = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, single, ir.Constant(_WORDS, [0] * LANES))


def _declared(builder: Any) -> Any:
    name = f"llvm.fma.v{LANES}f32"
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), name)


@kernel
def add_gram(left, right, terms, size, first, out):  # type: ignore[no-untyped-def]
    """out[i, j] += Σ_k left[k, i] · right[k, j] for i ≤ j, from row and column `first` on (whole panels, so some of the
    lower triangle of a panel's own square too).

    left, right: flat [size/16][terms][16], panels of 16 columns; out: flat [size, size]; terms ≤ DEPTH.
    """
    panels = size // LANES
    area = terms * LANES
    for block in range(first // LANES, panels, 8):
        until = min(block + 8, panels)
        for j in range(block, panels):
            for i in range(block, min(until, j + 1)):
                for row in range(0, LANES, ROWS):
                    tile(
                        out, (i * LANES + row) * size + j * LANES, size, left, i * area + row, 1, LANES, right,
                        j * area, LANES, terms,
                    )  # fmt: skip


Array = np.ndarray
