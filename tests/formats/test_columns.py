"""What columns count for: ratios and bytes stay, whatever the scale an importance came in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe.formats.columns import LEAST, column_weights


@given(st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=64).filter(any))
def test_ratios_stay_and_the_mean_is_one_to_four(values: list[float]) -> None:
    mean = math.fsum(values) / len(values)
    factor = next(f for f in (4.0**n for n in range(-60, 90)) if 1 <= mean * f < 4)
    want = np.maximum(np.array(values) * factor, LEAST)
    assert np.array_equal(column_weights(np.array(values, np.float32)), want.astype(np.float32))


def test_nothing_is_zero_and_a_matrix_of_zeros_counts_alike() -> None:
    values = np.ones(512)
    values[:256] = 0
    assert column_weights(values).min() == np.float32(2.0**-40)
    assert (column_weights(np.zeros(512)) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_what_is_no_importance_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="negative or not finite"):
        column_weights(np.array([1.0, bad]))
