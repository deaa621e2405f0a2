"""Intervals hold what they promise, and ranks are ranks."""

from __future__ import annotations

import math

import numpy as np

from dsv4recipe.evaluation.statistics import interval, spearman, student


def test_student_is_near_the_tables() -> None:
    """Two-sided 95 %: 3.182, 2.776, 2.228, 2.042 for 3, 4, 10 and 30 degrees of freedom."""
    for freedom, value in ((3, 3.182), (4, 2.776), (10, 2.228), (30, 2.042)):
        assert abs(student(freedom) / value - 1) < 0.01


def test_an_interval_holds_the_mean_that_often_also_when_tokens_of_a_sequence_are_alike() -> None:
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        shift = draw.normal(0, 1, 12)
        owner = np.repeat(np.arange(12), 30)
        values = 3 + shift[owner] + draw.normal(0, 0.5, len(owner))
        _, low, high = interval(values, owner)
        held += low <= 3 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_few_sequences_have_no_interval() -> None:
    mean, low, high = interval(np.array([1.0, 3.0]), np.array([0, 1]))
    assert mean == 2
    assert math.isnan(low)
    assert math.isnan(high)


def test_rank_correlation() -> None:
    values = np.array([1.0, 4.0, 9.0, 9.0, 30.0])
    assert math.isclose(spearman(values, values**3), 1)
    assert math.isclose(spearman(values, -values), -1)
    assert abs(spearman(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])) - 0.6) < 1e-12
