"""Two runs side by side: hand-worked differences, and how often nothing is called a change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_results import result

from twigma_spark.results import Value
from twigma_spark.stats.changes import compare_runs, difference


def value(estimate: float | None, low: float | None = None, high: float | None = None) -> Value:
    return Value(estimate, low, high, 10, "images", "")


def test_a_difference_by_hand() -> None:
    # 7 - 4 = 3; 3 - sqrt(3² + 4²) = -2 and 3 + sqrt(12² + 5²) = 16.
    assert difference(value(4, -1, 8), value(7, 4, 19)) == (3, -2, 16)


@pytest.mark.parametrize(("before", "now", "known"), [
    (value(1), value(2, 1, 3), 1.0), (value(1, 0, 2), value(2, 1, None), 1.0),
    (value(1, 0, math.inf), value(2, 1, 3), 1.0),
    (value(None), value(2, 1, 3), None), (value(1, 0, 2), value(math.inf, 1, math.inf), None),
])  # fmt: skip
def test_without_two_whole_intervals_nothing_is_decided(before: Value, now: Value, known: float | None) -> None:
    assert difference(before, now) == (known, None, None)


def test_what_is_new_gone_and_beyond() -> None:
    before = [result("a", "m", 1.0, 0.9, 1.1, corpus="x"), result("a", "m", 5.0, 4.0, 6.0, corpus="y"),
              result("a", "gone", 1.0)]  # fmt: skip
    now = [result("a", "m", 1.5, 1.4, 1.6, corpus="x"), result("a", "m", 5.5, 4.5, 6.5, corpus="y"),
           result("a", "m", 2.0, corpus="z")]  # fmt: skip
    changes = compare_runs(before, now)
    assert [(c.now.labels["corpus"], c.beyond) for c in changes.both] == [("x", True), ("y", False)]
    assert [c.now.labels["corpus"] for c in changes.beyond] == ["x"]
    assert len(changes.compared) == 2
    assert [r.labels for r in changes.new] == [{"corpus": "z"}]
    assert [r.metric for r in changes.gone] == ["gone"]


def test_of_means_that_did_not_change_a_twentieth_is_called_changed() -> None:
    rng, half = np.random.default_rng(1), 1.959964
    draws = rng.normal(size=(4000, 2)) * (1.0, 2.0)
    called = [difference(value(b, b - half, b + half), value(a, a - 2 * half, a + 2 * half)) for b, a in draws.tolist()]
    beyond = [low > 0 or high < 0 for _, low, high in called if low is not None and high is not None]
    assert len(beyond) == len(draws)
    assert 0.04 < sum(beyond) / len(draws) < 0.06
