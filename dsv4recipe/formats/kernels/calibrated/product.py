"""Floor 1, formats, kernels, calibrated. The one product that all heavy sums are made of: a tile of rows by 16 lanes.

`tile` spells out its registers in LLVM's portable vector types, because a compiler finds neither them nor their order
in a loop. Each step is `llvm.fma` without flags: one IEEE 754-2008 rounding, on every machine, and terms add up in the
order of k. A processor without the instruction computes the same bits slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dsv4recipe.formats.kernels.jit import kernel

LANES = 16


def _shape() -> tuple[int, int]:
    """Rows, and panels of lanes, of a tile: as many sums as the machine has registers for. It does not decide bits."""
    config: Any = numba.config
    given = config.CPU_NAME or config.CPU_FEATURES
    wide = "+avx512f" in (config.CPU_FEATURES or "") if given else get_host_cpu_features().get("avx512f", False)
    return (8, 2) if wide else (4, 1)


ROWS, PAIR = _shape()
DEPTH = 256
"""Terms that are summed in registers before they are added to memory: it decides bits."""
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)


def _tiles(wide: int) -> Any:
    """The product of ROWS rows and `wide` panels of 16 lanes."""

    def tile(typing, c, c_at, c_row, c_next, a, a_at, a_row, a_step, b, b_at, b_step, b_next, count):  # type: ignore[no-untyped-def]
        _ = typing, c, c_at, c_row, c_next, a, a_at, a_row, a_step, b, b_at, b_step, b_next, count  # numba gives types
        flat, at = types.Array(types.float32, 1, "C"), types.int64
        return types.void(flat, at, at, at, flat, at, at, at, flat, at, at, at, at), codegen

    def codegen(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
        arrays = {n: context.make_array(signature.args[n])(context, builder, args[n]).data for n in (0, 4, 8)}
        _, c_at, c_row, c_next, _, a_at, a_row, a_step, _, b_at, b_step, b_next, count = args
        word, panels = c_at.type, range(wide)
        fma = _declared(builder)

        def lanes(array: int, offset: Any) -> Any:
            return builder.bitcast(builder.gep(arrays[array], [offset]), _FLOATS.as_pointer())

        def times(value: Any, number: int) -> Any:
            return builder.mul(value, ir.Constant(word, number))

        zero = ir.Constant(_FLOATS, [0.0] * LANES)
        before, loop, after = builder.block, builder.append_basic_block("terms"), builder.append_basic_block("sums")
        a_rows = [builder.add(a_at, times(a_row, i)) for i in range(ROWS)]
        b_panels = [builder.add(b_at, times(b_next, p)) for p in panels]
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(word)
        a_k, b_k = builder.phi(word), builder.phi(word)
        sums = [[builder.phi(_FLOATS) for _ in panels] for _ in range(ROWS)]
        for place in (k, a_k, b_k):
            place.add_incoming(ir.Constant(word, 0), before)
        right = [builder.load(lanes(8, builder.add(b_panels[p], b_k)), align=4) for p in panels]
        following = []
        for i in range(ROWS):
            left = _splat(builder, builder.load(builder.gep(arrays[4], [builder.add(a_rows[i], a_k)]), align=4))
            following.append([builder.call(fma, [left, right[p], sums[i][p]]) for p in panels])
        next_k = builder.add(k, ir.Constant(word, 1))
        k.add_incoming(next_k, loop)
        a_k.add_incoming(builder.add(a_k, a_step), loop)
        b_k.add_incoming(builder.add(b_k, b_step), loop)
        for i in range(ROWS):
            for p in panels:
                sums[i][p].add_incoming(zero, before)
                sums[i][p].add_incoming(following[i][p], loop)
        builder.cbranch(builder.icmp_signed("<", next_k, count), loop, after)
        builder.position_at_end(after)
        for i in range(ROWS):
            for p in panels:
                at = builder.add(builder.add(c_at, times(c_row, i)), times(c_next, p))
                place = lanes(0, at)
                builder.store(builder.fadd(builder.load(place, align=4), following[i][p]), place, align=4)
        return context.get_dummy_value()

    return intrinsic(tile)


tile, pair = _tiles(1), _tiles(2)
"""c[c_at + i·c_row + p·c_next + lane] += Σ_k a[a_at + i·a_row + k·a_step] · b[b_at + k·b_step + p·b_next + lane] for
ROWS rows i, 16 lanes, 1 or 2 panels p, and `count` (at least 1) terms k, in their order: as (c, c_at, c_row, c_next, a,
a_at, a_row, a_step, b, b_at, b_step, b_next, count). Flat float32 arrays, int64 places."""


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
        # Two panels of the right at a time; the pair that the left's own square cuts is one panel short.
        for j in range(block, panels, PAIR):
            for i in range(block, min(until, j + PAIR)):
                both = PAIR == 2 and i <= j and j + 1 < panels
                for row in range(0, LANES, ROWS):
                    if both:
                        pair(
                            out, (i * LANES + row) * size + j * LANES, size, LANES, left, i * area + row, 1, LANES,
                            right, j * area, LANES, area, terms,
                        )  # fmt: skip
                    else:
                        at = j if i <= j else j + 1
                        if at < panels:
                            tile(
                                out, (i * LANES + row) * size + at * LANES, size, 0, left, i * area + row, 1, LANES,
                                right, at * area, LANES, 0, terms,
                            )  # fmt: skip


Array = np.ndarray
