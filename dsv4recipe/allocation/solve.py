"""Floor 3, allocation. Solves a multiple-choice knapsack: one option per item, least error within a byte budget. Pure.

The solver takes the lower convex hull of each item and then the steepest steps first. At the first step that does not
fit, it knows the optimum of the linear relaxation, a bound that no choice can beat (Sinha and Zoltners 1979). Then it
improves this greedy choice by dynamic programming over sums of bytes, item by item. A sum is dropped if another is
smaller and no worse, or if even the relaxation of the remaining items does not beat the best known choice (Nemhauser
and Ullmann 1969, with bounds). Bytes are exact integers and are never rounded. Ties go to the earlier item, so the same
input gives the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Option = tuple[int, float]
"""The pair (bytes, error)."""

BEAM = 3000
"""How many sums are kept after each item: those with the least bound. The search is exact if there are never more."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The solution; `choice` is the option of each item."""

    choice: tuple[int, ...]
    bytes: int
    error: float


def hull(options: Sequence[Option]) -> list[int]:
    """Returns the indices of the lower convex hull: bytes rise, error falls, and each step saves less per byte than the
    one before. The first is the smallest option, the last the smallest one of least error."""
    order = sorted(range(len(options)), key=lambda i: (*options[i], i))
    kept: list[int] = []
    for i in order:
        if kept and options[i][1] >= options[kept[-1]][1]:
            continue
        while len(kept) > 1 and _slope(options, kept[-2], kept[-1]) <= _slope(options, kept[-1], i):
            kept.pop()
        kept.append(i)
    return kept


def _slope(options: Sequence[Option], low: int, high: int) -> float:
    """Returns the error saved per byte between two options."""
    return (options[low][1] - options[high][1]) / (options[high][0] - options[low][0])


def limits(items: Sequence[Sequence[Option]]) -> tuple[int, int]:
    """Returns the bytes of the smallest choice, and those of the smallest choice with the least error."""
    hulls = [(options, hull(options)) for options in items]
    return sum(o[h[0]][0] for o, h in hulls), sum(o[h[-1]][0] for o, h in hulls)


def solve(items: Sequence[Sequence[Option]], budget: int) -> Solution:
    """Returns the best choice found within `budget` bytes. Raises ValueError if even the smallest options do not
    fit."""
    choice, steps, left = _start(items, budget)
    for _, i, low, high in steps:
        cost = items[i][high][0] - items[i][low][0]
        if choice[i] == low and cost <= left:
            choice[i] = high
            left -= cost
    greedy = Solution(tuple(choice), budget - left, sum(items[i][c][1] for i, c in enumerate(choice)))
    return _search(items, steps, budget, greedy)


def bound(items: Sequence[Sequence[Option]], budget: int) -> float:
    """Returns the optimum of the linear relaxation, which is a lower bound for every choice within the budget. It takes
    the steps in order, and a part of the first one that does not fit. Raises like `solve`."""
    choice, steps, left = _start(items, budget)
    error = sum(items[i][c][1] for i, c in enumerate(choice))
    for slope, i, low, high in steps:
        cost = items[i][high][0] - items[i][low][0]
        if cost > left:
            return error + slope * left
        left -= cost
        error -= items[i][low][1] - items[i][high][1]
    return sum(min(option[1] for option in options) for options in items)


def _start(items: Sequence[Sequence[Option]], budget: int) -> tuple[list[int], list[tuple[float, int, int, int]], int]:
    """Returns the smallest choice, every step of the hulls as (−slope, item, from, to) with the steepest first, and the
    bytes left."""
    hulls = [hull(options) for options in items]
    choice = [kept[0] for kept in hulls]
    left = budget - sum(items[i][c][0] for i, c in enumerate(choice))
    if left < 0:
        raise ValueError("the budget is below the smallest choice")
    steps = [
        (-_slope(items[i], low, high), i, low, high) for i, kept in enumerate(hulls) for low, high in pairwise(kept)
    ]
    return choice, sorted(steps), left


def _search(
    items: Sequence[Sequence[Option]], steps: Sequence[tuple[float, int, int, int]], budget: int, known: Solution
) -> Solution:
    """Returns the best choice that the search finds within the budget, or `known` if none is better. Large items come
    first, so that the last ones can fill the remaining bytes finely."""
    order = sorted(range(len(items)), key=lambda i: (min(o[0] for o in items[i]) - max(o[0] for o in items[i]), i))
    future = _Future(items, steps, order)
    sums, errors = np.zeros(1, np.int64), np.zeros(1)
    history: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for place, i in enumerate(order):
        options = items[i]
        b = (sums[:, None] + np.array([option[0] for option in options])).ravel()
        e = (errors[:, None] + np.array([option[1] for option in options])).ravel()
        hope = e + future.least(place + 1, budget - b)
        kept = np.flatnonzero(hope < known.error)
        kept = kept[np.lexsort((e[kept], b[kept]))]
        best = np.minimum.accumulate(e[kept])
        kept = kept[np.concatenate(([True], e[kept][1:] < best[:-1]))] if len(kept) else kept
        if len(kept) > BEAM:
            kept = np.sort(kept[np.argsort(hope[kept], kind="stable")[:BEAM]])
        if not len(kept):
            return known
        sums, errors = b[kept], e[kept]
        history.append((kept // len(options), kept % len(options)))
    at = int(errors.argmin())
    total, error = int(sums[at]), float(errors[at])
    choice = [0] * len(items)
    for i, (parents, numbers) in zip(reversed(order), reversed(history), strict=True):
        choice[i], at = int(numbers[at]), int(parents[at])
    return Solution(tuple(choice), total, error)


class _Future:
    """The linear relaxation of the remaining items, for any number of bytes left."""

    def __init__(
        self, items: Sequence[Sequence[Option]], steps: Sequence[tuple[float, int, int, int]], order: Sequence[int]
    ) -> None:
        place = {item: number for number, item in enumerate(order)}
        self.places = np.array([place[i] for _, i, _, _ in steps])
        self.costs = np.array([items[i][high][0] - items[i][low][0] for _, i, low, high in steps])
        self.gains = np.array([items[i][low][1] - items[i][high][1] for _, i, low, high in steps])
        starts = [items[i][hull(items[i])[0]] for i in order]
        self.bytes = [sum(start[0] for start in starts[k:]) for k in range(len(order) + 1)]
        self.errors = [sum(start[1] for start in starts[k:]) for k in range(len(order) + 1)]

    def least(self, place: int, left: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the least error of the items from `place` on within each number of bytes, or infinity if they do not
        fit."""
        coming = self.places >= place
        costs = np.concatenate(([0], np.cumsum(self.costs[coming])))
        gains = np.concatenate(([0.0], np.cumsum(self.gains[coming])))
        spare = left - self.bytes[place]
        error = self.errors[place] - np.interp(spare, costs, gains)
        return np.where(spare >= 0, error, np.inf)
