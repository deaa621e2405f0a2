"""Floor 3, allocation. One option for each item, least error within a byte budget: a multiple-choice knapsack. This
module is pure.

The lower convex hull of each item, then the steepest steps first; where the first does not fit, the optimum of the
linear relaxation is known, a bound that no choice of options can beat (Sinha and Zoltners 1979). That greedy choice is
then improved: dynamic programming over sums of bytes, item by item, where a sum is dropped if another is smaller and no
worse, or if even the relaxation of what is still to come does not beat the best choice known (Nemhauser and Ullmann
1969, with bounds). Bytes are exact integers and are never rounded. Ties go to the earlier item: same input, same
outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Option = tuple[int, float]
"""(bytes, error)."""

BEAM = 3000
"""Sums kept after each item, those with the least bound. The search is exact where there are never more."""


@dataclass(frozen=True, slots=True)
class Solution:
    """`choice` is the option of each item."""

    choice: tuple[int, ...]
    bytes: int
    error: float


def hull(options: Sequence[Option]) -> list[int]:
    """Indices of the lower convex hull: bytes rise, error falls, and each step saves less per byte than the one before.
    The first is the smallest option, the last the smallest of least error."""
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
    """Error saved per byte between two options."""
    return (options[low][1] - options[high][1]) / (options[high][0] - options[low][0])


def limits(items: Sequence[Sequence[Option]]) -> tuple[int, int]:
    """Returns bytes of the smallest choice, and of the smallest one that has the least error of all."""
    hulls = [(options, hull(options)) for options in items]
    return sum(o[h[0]][0] for o, h in hulls), sum(o[h[-1]][0] for o, h in hulls)


def solve(items: Sequence[Sequence[Option]], budget: int) -> Solution:
    """Returns the best choice found within `budget` bytes. Raises ValueError where not even the smallest options
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
    """Returns the optimum of the linear relaxation, which no choice within the budget is below: steps in order, the
    first that does not fit in part. Raises as `solve`."""
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
    """Returns the smallest choice, every step of the hulls as (−slope, item, from, to) with the steepest first, bytes
    left."""
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
    """Returns the best choice within the budget that the search meets, `known` if none is better. Large items come
    first: what is left for the last ones is then filled finely."""
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
    """The linear relaxation of the items that are still to come, for any number of bytes left."""

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
        """Returns the least error of the items from `place` on within each number of bytes; infinite where they do not
        fit."""
        coming = self.places >= place
        costs = np.concatenate(([0], np.cumsum(self.costs[coming])))
        gains = np.concatenate(([0.0], np.cumsum(self.gains[coming])))
        spare = left - self.bytes[place]
        error = self.errors[place] - np.interp(spare, costs, gains)
        return np.where(spare >= 0, error, np.inf)
