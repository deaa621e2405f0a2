"""Floor 4, guidance. Computes the inputs of an expert's down projection from those of gate and up. Reads the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.decode import raw
from dsv4recipe.formats.encode import blocks
from dsv4recipe.formats.kernels.calibrated.hidden import gated, project
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.calibrated.rows import to_lanes
from dsv4recipe.plan.pieces import Beside, Span
from dsv4recipe.records.rows import Floats

Read = Callable[[Span], NDArray[np.uint8]]
_TOKENS = 1024
"""How many tokens go through the two projections together; the sums do not depend on it."""
_ROWS = 256


def hidden(
    inputs: Callable[[slice], Floats], weights: Floats, beside: Sequence[Beside], limit: float, read: Read
) -> Floats:
    """Returns float32 [n, width]: silu(gate) · up · routing weight of n tokens, whose inputs `inputs` returns part by
    part."""
    gate, up = beside
    stored = [raw(e.source, read(e.weight), None if e.scale is None else read(e.scale)) for e in beside]
    count, (width, size) = len(weights), gate.source.shape
    out = np.empty((count, width), np.float32)
    order = np.arange(size, dtype=np.int64)
    for first in range(0, count, _TOKENS):
        part = slice(first, min(first + _TOKENS, count))
        tokens = part.stop - first
        panels = -(-tokens // LANES)
        lanes = np.empty(panels * size * LANES, np.float32)
        to_lanes(inputs(part), order, lanes)
        sums: list[Any] = [np.empty(panels * _ROWS * LANES, np.float32) for _ in range(2)]
        pairs = zip(
            *(blocks(e.source, *bytes_, step=_ROWS) for e, bytes_ in zip((gate, up), stored, strict=True)), strict=True
        )
        for (row, left), (_, right) in pairs:
            for rows, into in ((left, sums[0]), (right, sums[1])):
                project(rows.ravel(), size, lanes, 0, len(rows), panels, into)
            gated(sums[0], sums[1], len(left), tokens, np.float32(limit), weights[part], row, out[part])
    return out
