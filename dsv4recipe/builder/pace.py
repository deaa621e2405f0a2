"""Floor 4, builder. Estimates how long a build will take, from a short run of its encoders. Measures for a moment.

Bytes do not predict time if one type takes fifty times longer to fit than another. So progress is reported as work:
weights multiplied by the cost of one of them. Reading and writing run at the same time and are not counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats import Format, SourceTensor
from dsv4recipe.formats.encode import encode
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import Piece

_SAMPLE = SourceTensor("fp4", (16, 4096), "I8")
_MOMENT = 0.15
_FAST = 5e-9
"""The approximate seconds per weight of a format that is not searched for, too few to measure."""
_BETWEEN = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
"""The midpoints between the eight magnitudes of FP4."""


@dataclass(frozen=True)
class Pace:
    """Holds the seconds that one core takes for a weight, by format. `total` core-seconds are shared by `workers`; most
    of them are for the format `slowest`."""

    seconds: Mapping[Format, float]
    total: float
    workers: int
    slowest: str

    def work(self, piece: Piece) -> float:
        """Returns the core-seconds of a piece."""
        return prod(piece.source.shape) * self.seconds.get(piece.format, _FAST)

    @property
    def expected(self) -> float:
        """Returns the expected seconds of the whole build."""
        return self.total / self.workers


def measure(plan: Plan, workers: int) -> Pace | None:
    """Returns the estimate for a plan with types that ggml searches for, or None if there are none. Takes about 0.2 s
    per type. It uses as many threads as the build, because cores that share resources do not add up.
    """
    weights: Counter[Format] = Counter()
    for module in plan.modules:
        weights[module.format] += module.weights
    searched = [fmt for fmt in weights if fmt.searched]
    if not searched:
        return None
    weight, scale = _normal(_SAMPLE)
    seconds: dict[Format, float] = {}
    with ThreadPoolExecutor(workers) as pool:
        for fmt in searched:
            alike = fmt.unguided()
            encode(alike, _SAMPLE, weight.copy(), scale.copy())

            def work(_: int, alike: Format = alike) -> float:
                begin, count = time.perf_counter(), 0
                while time.perf_counter() < begin + _MOMENT:
                    encode(alike, _SAMPLE, weight.copy(), scale.copy())
                    count += prod(_SAMPLE.shape)
                return (time.perf_counter() - begin) / count

            seconds[fmt] = fmean(pool.map(work, range(workers)))
    cost = {fmt: count * seconds.get(fmt, _FAST) for fmt, count in weights.items()}
    slowest = max(searched, key=lambda fmt: (cost[fmt], fmt.label))
    return Pace(seconds, sum(cost.values()), workers, slowest.label)


def _normal(source: SourceTensor) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns weight and scale bytes of an FP4 matrix of normal weights, always the same, because the time of a search
    depends on the values."""
    values = np.random.default_rng(0).normal(0, 2, source.shape)
    codes = np.searchsorted(_BETWEEN, np.abs(values)) | (values < 0) << 3
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8).ravel()
    return packed, np.full(values.size // 32, 121, np.uint8)
