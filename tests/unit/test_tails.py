"""The calibrated threshold for copies."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.stats.tails import Tail, fit_tail, threshold_interval


def background(n: int, exponent: float, seed: int) -> np.ndarray:
    """Best similarities whose distances have the law P(D < x) = (2 x) ** exponent, for x up to 0.5."""
    return 1.0 - 0.5 * np.random.default_rng(seed).random(n) ** (1.0 / exponent)


@pytest.mark.parametrize("exponent", [1.5, 4.0, 12.0])
@pytest.mark.parametrize("rate", [1e-2, 1e-3])
def test_the_background_exceeds_the_threshold_at_the_stated_rate(exponent: float, rate: float) -> None:
    tail = fit_tail(background(200_000, exponent, 1))
    assert tail is not None and tail.dimension == pytest.approx(exponent, rel=0.05)
    truth = 1.0 - 0.5 * rate ** (1.0 / exponent)
    assert tail.threshold(rate) == pytest.approx(truth, abs=0.004)
    fresh = (background(200_000, exponent, 2) >= tail.threshold(rate)).mean()
    assert fresh == pytest.approx(rate, rel=0.35)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.025])
def test_copies_do_not_move_the_threshold(share: float) -> None:
    values = background(50_000, 4.0, 3)
    copies = int(share * len(values))
    values[:copies] = 1.0 - 1e-4 * np.random.default_rng(4).random(copies)
    tail = fit_tail(values)
    assert tail is not None
    assert tail.threshold(1e-3) == pytest.approx(1.0 - 0.5 * 1e-3**0.25, abs=0.012)
    assert (values[:copies] >= tail.threshold(1e-3)).all()


def test_the_rate_of_the_threshold_is_the_one_asked_for() -> None:
    tail = Tail(distance=0.2, share=0.1, dimension=5.0, n=100)
    similarities = [tail.threshold(rate) for rate in (0.05, 1e-3, 1e-5)]
    np.testing.assert_allclose(tail.rate(similarities), [0.05, 1e-3, 1e-5], rtol=1e-9)
    assert tail.threshold(0.5) == pytest.approx(0.8) and tail.rate(0.1)[()] == 1.0
    assert 0 < tail.rate(1.0)[()] < 1e-25


def test_the_interval_holds_the_threshold_and_narrows_with_n() -> None:
    widths = []
    for n in (2_000, 50_000):
        values = background(n, 4.0, 5)
        found = threshold_interval(values, 1e-3, np.random.default_rng(0), 100)
        tail = fit_tail(values)
        assert found is not None and tail is not None and found[0] < tail.threshold(1e-3) < found[1]
        widths.append(found[1] - found[0])
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize("values", [[], [0.5] * 1000, list(np.linspace(0, 0.9, 100))])
def test_too_few_or_too_equal_similarities_have_no_tail(values: list[float]) -> None:
    assert fit_tail(values) is None
    assert threshold_interval(values or [0.1], 1e-3, np.random.default_rng(0), 10) is None
