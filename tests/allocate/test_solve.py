"""The solver against every choice there is, and against its own bound."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe.allocation.solve import Option, bound, hull, limits, solve

OPTION = st.tuples(st.integers(1, 40), st.integers(0, 200).map(lambda eighths: eighths / 8))
ITEMS = st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=1, max_size=5)


def best(items: list[list[Option]], budget: int) -> float:
    """The least error of every choice within the budget."""
    choices = (choice for choice in product(*items) if sum(option[0] for option in choice) <= budget)
    return min(sum(option[1] for option in choice) for choice in choices)


@given(items=ITEMS, spare=st.integers(0, 60))
def test_no_choice_is_better_and_the_bound_is_below_all(items: list[list[Option]], spare: int) -> None:
    budget = sum(min(option[0] for option in options) for options in items) + spare
    found = solve(items, budget)
    assert found.bytes == sum(options[c][0] for options, c in zip(items, found.choice, strict=True)) <= budget
    assert found.error == pytest.approx(sum(options[c][1] for options, c in zip(items, found.choice, strict=True)))
    least = best(items, budget)
    assert found.error == pytest.approx(least)
    assert bound(items, budget) <= least + 1e-9


@given(items=ITEMS)
def test_limits_are_the_smallest_choice_and_the_smallest_of_least_error(items: list[list[Option]]) -> None:
    low, high = limits(items)
    with pytest.raises(ValueError, match="below the smallest"):
        solve(items, low - 1)
    assert solve(items, low).bytes == low
    least = sum(min(option[1] for option in options) for options in items)
    assert solve(items, high).error == bound(items, high) == least
    if high > low:
        assert solve(items, high - 1).error > least


def test_the_hull_is_convex_and_skips_what_is_dominated() -> None:
    options = [(10, 5.0), (10, 4.0), (20, 3.9), (30, 1.0), (40, 1.0), (50, 0.9), (60, 0.0)]
    assert hull(options) == [1, 3, 6]


def test_more_bytes_are_never_worse() -> None:
    rng = random.Random(5)
    items = [sorted((rng.randrange(1000), rng.random()) for _ in range(8)) for _ in range(40)]
    low, high = limits(items)
    errors = [solve(items, budget).error for budget in range(low, high + 1, (high - low) // 50)]
    assert errors == sorted(errors, reverse=True)
    assert all(bound(items, b) <= solve(items, b).error + 1e-9 for b in range(low, high, (high - low) // 20))
