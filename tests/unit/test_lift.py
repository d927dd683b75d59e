"""Lift and its interval: hand-worked, and against simulated counts."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.stats.lift import lift


def test_a_lift_worked_by_hand() -> None:
    found, low, high = lift([20, 0], [40, 10], 100, 400)
    assert found[0] == pytest.approx(20 * 400 / (40 * 100)) and np.isnan(found[1])
    half = 1.959964 * np.sqrt(1 / 20 - 1 / 40 - 1 / 100 - 1 / 400 + 2 * 2 / 400)
    assert (low[0], high[0]) == (pytest.approx(2 * np.exp(-half)), pytest.approx(2 * np.exp(half)))
    # All of A with B: as certain as B's share.
    assert lift(30, 30, 60, 120)[0] == 2.0


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    cells = rng.multinomial(2000, [0.03, 0.05, 0.12, 0.80], 4000)
    _, low, high = lift(cells[:, 0], cells[:, 0] + cells[:, 1], cells[:, 0] + cells[:, 2], 2000)
    true = 0.03 / (0.08 * 0.15)
    assert 0.94 < np.mean((low <= true) & (true <= high)) < 0.96
