"""Wilson's interval and the bootstrap over groups, against statsmodels, by hand and by coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from twigma_spark.stats.intervals import count_table, percentiles, wilson


@given(n=st.integers(1, 10**6), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_wilson_equals_statsmodels(n: int, share: float, confidence: float) -> None:
    x = round(n * share)
    estimate, low, high = wilson([x], [n], confidence)
    expected = proportion_confint(x, n, 1 - confidence, method="wilson")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-9)
    assert 0 <= low[0] <= estimate[0] == x / n <= high[0] <= 1


def test_a_share_of_nothing_is_not_a_number() -> None:
    estimate, low, high = wilson([0, 1], [0, 2])
    assert np.isnan([estimate[0], low[0], high[0]]).all() and estimate[1] == 0.5


def test_wilson_covers_the_truth_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(1).binomial(60, 0.2, 20_000)
    _, low, high = wilson(drawn, np.full(20_000, 60))
    assert np.mean((low <= 0.2) & (high >= 0.2)) == pytest.approx(0.95, abs=0.02)


def test_counts_by_group() -> None:
    groups, bins = np.array(["y", "x", "y", "y"]), np.array([0, 2, 0, 1])
    np.testing.assert_array_equal(count_table(groups, bins, 3), [[0, 0, 1], [2, 1, 0]])
    np.testing.assert_array_equal(count_table(None, bins, 3), [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert count_table(None, np.array([], int), 3).shape == (0, 3)


def test_percentiles_are_replicates_rounded_outwards() -> None:
    assert percentiles(np.arange(101), 0.9) == (5, 95)
    assert percentiles([1.0, 2.0], 0.9) == (1, 2)
    assert percentiles([1.0, np.inf, np.inf], 0.9) == (1, np.inf)
    assert percentiles([np.inf] * 3, 0.9) == (np.inf, np.inf)
