"""Floor 1, formats, kernels, calibrated. The inputs of an expert's down projection: silu(gate) · up · routing weight.

The exponential is our own: the machine's library may differ from the next one's in the last bit.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.calibrated.product import DEPTH, LANES, PAIR, ROWS, pair, tile
from dsv4recipe.formats.kernels.jit import kernel

_ROUND = 6755399441055744.0  # 1.5 * 2^52
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""log 2 in two parts (the first has 33 bits), so that the reduced argument is exact enough."""


@kernel
def exponential(x):  # type: ignore[no-untyped-def]
    """e^x for |x| ≤ 200, float64, to about 1e-13: 2^k times a Taylor polynomial of degree 11 on ±log(2)/2."""
    k = (x * _LOG2E + _ROUND) - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 + r * (1.0 / 11.0)
    for n in (10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0):
        p = 1.0 + r * (p / n)
    p = 1.0 + r * p
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@kernel
def _silu(x):  # type: ignore[no-untyped-def]
    bounded = min(max(np.float64(x), -200.0), 200.0)
    return np.float64(x) / (1.0 + exponential(-bounded))


@kernel
def project(weight, size, inputs, first, rows, panels, out):  # type: ignore[no-untyped-def]
    """out flat [panels, rows, 16] ← weight flat [rows, size] times inputs flat [panels, size, 16], lanes being tokens.
    Rows are a multiple of 8. `first`: place of the first weight."""
    out[: panels * rows * LANES] = np.float32(0.0)
    for start in range(0, size, DEPTH):
        count = min(DEPTH, size - start)
        for panel in range(0, panels, PAIR):
            for row in range(0, rows, ROWS):
                at, of = (panel * rows + row) * LANES, first + row * size + start
                terms = (panel * size + start) * LANES
                if PAIR == 2 and panel + 1 < panels:
                    pair(out, at, LANES, rows * LANES, weight, of, size, 1, inputs, terms, LANES, size * LANES, count)
                else:
                    tile(out, at, LANES, 0, weight, of, size, 1, inputs, terms, LANES, 0, count)


@kernel
def gated(gate, up, rows, tokens, limit, weights, first, out):  # type: ignore[no-untyped-def]
    """gate, up: flat [panels, rows, 16] → out float32 [tokens, width], columns `first`…: silu(min(gate, limit)) times
    up within ±limit times the token's weight. A limit of 0 is none."""
    for token in range(tokens):
        base, lane = token // LANES * rows * LANES, token % LANES
        for row in range(rows):
            g, u = gate[base + row * LANES + lane], up[base + row * LANES + lane]
            if limit > np.float32(0.0):
                g = min(g, limit)
                u = min(max(u, -limit), limit)
            out[token, first + row] = np.float32(_silu(g) * np.float64(u) * np.float64(weights[token]))
