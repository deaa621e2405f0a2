"""Floor 4, evaluation. Computes means over scored tokens with 95 % intervals, and other figures of a comparison. Pure.

Tokens of one sequence are not independent, so the interval treats whole sequences as the sampled units. It uses the
variance of a ratio of sums over sequences (Cochran, Sampling Techniques, 1977, section 6.3), with Student's t.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_Z = NormalDist().inv_cdf(0.975)


def student(freedom: int) -> float:
    """Returns the 97.5 % point of Student's t, by Fisher's expansion around the normal one. It is accurate to 1 % from
    3 degrees of freedom on."""
    z = _Z
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def interval(values: Values, sequence: NDArray[np.int64]) -> tuple[float, float, float]:
    """Returns (mean, low, high) of values, one per scored token. `sequence` numbers the sequence of each. With fewer
    than four sequences there is no interval, and low and high are NaN."""
    count = np.bincount(sequence)
    total = np.bincount(sequence, weights=values)
    total, count = total[count > 0], count[count > 0]
    mean = math.fsum(total) / int(count.sum())
    units = len(count)
    if units < 4:
        return mean, math.nan, math.nan
    spread = math.fsum((total - mean * count) ** 2) / (units - 1)
    half = student(units - 1) * math.sqrt(spread / units) / float(count.mean())
    return mean, mean - half, mean + half


def figures(values: Values, sequence: NDArray[np.int64]) -> dict[str, Any]:
    """Returns {"mean", "interval"}; the interval is None if there is none."""
    mean, low, high = interval(values, sequence)
    return {"mean": mean, "interval": None if math.isnan(low) else [low, high]}


def spearman(one: Values, other: Values) -> float:
    """Returns the rank correlation of two lists of the same things; ties get their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Values) -> Values:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)
