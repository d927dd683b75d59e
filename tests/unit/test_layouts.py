"""Measures of layouts against scikit-learn, and against layouts whose measure is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as oracle

from twigma_spark.stats import layouts


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 60), k=st.integers(1, 5))
def test_trustworthiness_is_that_of_scikit_learn(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    space, plane = rng.standard_normal((n, 5)), rng.standard_normal((n, 2))
    assert layouts.trustworthiness(space, plane, k).mean() == pytest.approx(oracle(space, plane, n_neighbors=k))


def test_a_perfect_layout_is_trustworthy() -> None:
    plane = np.random.default_rng(1).standard_normal((30, 2))
    assert (layouts.trustworthiness(plane, 3 * plane + 1, 4) == 1).all()


def test_the_mean_lies_in_its_interval() -> None:
    found = layouts.mean(np.random.default_rng(2).uniform(size=200), np.random.default_rng(3), 200)
    assert found.low < found.estimate < found.high and found.n == 200
    assert found.high - found.low == pytest.approx(2 * 1.96 * 12**-0.5 / 200**0.5, rel=0.25)


def test_drift_sees_through_turns_mirrors_and_scales() -> None:
    rng = np.random.default_rng(4)
    one = rng.standard_normal((80, 2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    same = layouts.drift(one, 5 * (one * [1, -1]) @ turn + 7, rng, 20)
    assert same.estimate == pytest.approx(0, abs=1e-6) and same.high == pytest.approx(0, abs=1e-6)
    noisy = layouts.drift(one, one + 0.3 * rng.standard_normal(one.shape), rng, 50)
    other = layouts.drift(one, rng.standard_normal(one.shape), rng, 50)
    assert noisy.low <= noisy.estimate == pytest.approx(0.29, abs=0.08)
    assert other.estimate > 0.9
