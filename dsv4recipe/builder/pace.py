"""Floor 4, builder. How long a build will take, from the encoders' own speed on this machine. Measures for a moment.

Bytes say nothing of time where one type is found fifty times slower than another: so progress is told in work, which is
weights by what one of them costs. Reading and writing run beside it and are not counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from dsv4recipe.formats import Format, Ggml, SourceTensor
from dsv4recipe.formats.base import wants_importance
from dsv4recipe.formats.encode import encode
from dsv4recipe.formats.ggml import WEIGHTED
from dsv4recipe.plan.ledger import label
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import Piece

_SAMPLE = SourceTensor("f32", (16, 4096), "F32")
_FAST = 2e-9
"""Seconds per weight of what is not searched for, about: too little to measure beside the rest."""


@dataclass(frozen=True)
class Pace:
    """Seconds that one core takes for a weight, by format; `total` core-seconds are shared by `workers`, most of them
    for the format `slowest`."""

    seconds: Mapping[Format, float]
    total: float
    workers: int
    slowest: str

    def work(self, piece: Piece) -> float:
        """Core-seconds of a piece."""
        return prod(piece.source.shape) * self.seconds.get(piece.format, _FAST)

    @property
    def expected(self) -> float:
        """Seconds of the whole build."""
        return self.total / self.workers


def measure(plan: Plan, workers: int) -> Pace | None:
    """The pace of a plan with types that ggml searches for; None where there are none. Takes about 30 ms per type."""
    weights: Counter[Format] = Counter()
    for module in plan.modules:
        weights[module.format] += module.weights
    searched = [fmt for fmt in weights if isinstance(fmt, Ggml) and fmt.type in WEIGHTED]
    if not searched:
        return None
    values = np.sin(np.arange(prod(_SAMPLE.shape), dtype=np.float32)).view(np.uint8)
    seconds: dict[Format, float] = {}
    for fmt in searched:
        alike = replace(fmt, importance="ones") if wants_importance(fmt) else fmt
        encode(alike, SourceTensor("f32", (1, 256), "F32"), values[:1024].copy(), None)
        begin = time.perf_counter()
        encode(alike, _SAMPLE, values.copy(), None)
        seconds[fmt] = (time.perf_counter() - begin) / prod(_SAMPLE.shape)
    cost = {fmt: count * seconds.get(fmt, _FAST) for fmt, count in weights.items()}
    slowest = max(searched, key=lambda fmt: (cost[fmt], label(fmt)))
    return Pace(seconds, sum(cost.values()), workers, label(slowest))
