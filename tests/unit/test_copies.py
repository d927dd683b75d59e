"""The calibration of the threshold for copies: stated against realised false-match rates in planted worlds."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.results import Result
from twigma_spark.stats.copies import PLANTED, TIMES, observed_rates, planted_worlds
from twigma_spark.stats.tails import calibrate

RATE = 1e-3


def best_matches(n: int, copies: float) -> np.ndarray:
    """Distances of the law P(D < x) = (2 x) ** 4, of which the first are copies."""
    rng = np.random.default_rng(7)
    values = 1.0 - 0.5 * rng.random(n) ** 0.25
    many = int(copies * n)
    values[:many] = 1.0 - 1e-4 * rng.random(many)
    return values


@pytest.fixture(scope="module")
def worlds() -> list[Result]:
    values = best_matches(20_000, 0.01)
    tail = calibrate(values, RATE).tail
    assert tail is not None
    return list(planted_worlds(values, tail, RATE, "photo", np.random.default_rng(0)))


@pytest.mark.parametrize("share", PLANTED)
def test_the_realised_rate_is_within_a_factor_of_two(worlds: list[Result], share: float) -> None:
    rows = {r.labels["stated"]: r for r in worlds if r.metric == "realised_rate" and r.labels["kind"] == "copies"
            and r.labels["planted"] == f"{share:g}"}  # fmt: skip
    assert set(rows) == {f"{times * RATE:g}" for times in TIMES}
    for stated, row in rows.items():
        assert row.estimate is not None and 0.5 < row.estimate / float(stated) < 2.0, (share, stated)
        assert row.low is not None and row.high is not None and row.low < row.estimate < row.high
    if share:
        (recall,) = [r for r in worlds if r.metric == "planted_recall" and r.labels["planted"] == f"{share:g}"]
        assert recall.estimate is not None and recall.estimate >= 0.9


def test_a_dense_style_that_is_not_apart_has_no_threshold(worlds: list[Result]) -> None:
    rows = [r for r in worlds if r.metric == "realised_rate" and r.labels["kind"] == "style"]
    assert rows and all(r.estimate is None and "no threshold: 0 of 20" in r.value.method for r in rows)


def test_what_is_observed_is_what_was_stated_and_the_copies() -> None:
    values = best_matches(50_000, 0.02)
    tail = calibrate(values, RATE).tail
    assert tail is not None
    rows = list(observed_rates(values, tail, RATE, "photo"))
    assert [float(r.labels["stated"]) for r in rows] == pytest.approx([times * RATE for times in TIMES])
    for row in rows:
        reached = (values >= tail.threshold(float(row.labels["stated"]))).mean()
        assert row.estimate == pytest.approx(reached) and row.n == 50_000
        assert row.estimate == pytest.approx(0.02 + float(row.labels["stated"]), rel=0.2)
