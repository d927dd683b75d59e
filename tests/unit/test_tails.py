"""The calibrated threshold for copies."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.stats.tails import (
    ALL_CLOSE,
    NOT_SEPARATE,
    TOO_FEW,
    TOO_MANY,
    Tail,
    calibrate,
    fit_tail,
    threshold_interval,
)


def background(n: int, exponent: float, seed: int) -> np.ndarray:
    """Best similarities whose distances have the law P(D < x) = (2 x) ** exponent, for x up to 0.5."""
    return 1.0 - 0.5 * np.random.default_rng(seed).random(n) ** (1.0 / exponent)


@pytest.mark.parametrize("exponent", [1.5, 4.0, 12.0])
@pytest.mark.parametrize("rate", [1e-2, 1e-3])
def test_the_background_exceeds_the_threshold_at_the_stated_rate(exponent: float, rate: float) -> None:
    tail = fit_tail(np.sort(background(200_000, exponent, 1)))
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
    tail = fit_tail(np.sort(values))
    assert tail is not None
    assert tail.threshold(1e-3) == pytest.approx(1.0 - 0.5 * 1e-3**0.25, abs=0.012)
    assert (values[:copies] >= tail.threshold(1e-3)).all()


def plant(values: np.ndarray, share: float, distance: float, seed: int = 4) -> np.ndarray:
    """Return the similarities with a share of copies, up to `distance` away; they come first."""
    copies = int(share * len(values))
    near = 1.0 - distance * np.random.default_rng(seed).random(copies)
    return np.concatenate([near, values[copies:]])


@pytest.mark.parametrize("exponent", [4.0, 12.0])
@pytest.mark.parametrize("distance", [1e-4, 1e-2])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.05, 0.08, 0.12, 0.2])
def test_the_realised_rate_is_the_stated_one_with_any_share_of_copies(
    exponent: float, distance: float, share: float
) -> None:
    values = plant(background(100_000, exponent, 7), share, distance)
    tail = calibrate(values, 1e-3).tail
    assert tail is not None
    threshold = tail.threshold(1e-3)
    realised = (background(400_000, exponent, 8) >= threshold).mean()
    assert 0.5e-3 < realised < 2e-3
    copies = values[: int(share * len(values))]
    assert not len(copies) or (copies >= threshold).mean() > 0.9


def test_a_twentieth_of_dense_matches_does_not_switch_the_threshold_off() -> None:
    """The case that gave the threshold 1.0, which found 0.5% of the copies."""
    rng = np.random.default_rng(0)
    values = 1 - 0.5 * rng.random(20_000) ** 0.25
    values[:1000] = 1 - 1e-4 * rng.random(1000)
    tail = calibrate(values, 1e-3).tail
    assert tail is not None and 0.85 < tail.threshold(1e-3) < 0.95
    assert (values[:1000] >= tail.threshold(1e-3)).all()


@pytest.mark.parametrize("seed", range(5))
def test_without_copies_few_images_have_a_threshold_too(seed: int) -> None:
    tail = calibrate(background(2_000, 4.0, seed), 1e-3).tail
    assert tail is not None and 0.85 < tail.threshold(1e-3) < 0.99


def test_where_chance_cannot_be_told_there_is_no_threshold() -> None:
    values = background(20_000, 4.0, 9)
    assert calibrate(plant(values, 0.3, 1e-4), 1e-3).why == TOO_MANY
    # A style of 6% whose matches follow the same law, five times as close: no copies, and not apart from the others.
    values[:1200] = 1.0 - 0.1 * np.random.default_rng(1).random(1200) ** 0.25
    assert (calibrate(values, 1e-3).tail, calibrate(values, 1e-3).why) == (None, NOT_SEPARATE)
    assert calibrate([0.5] * 1000, 1e-3).why == calibrate([], 1e-3).why == TOO_FEW


def test_a_threshold_is_never_as_good_as_one() -> None:
    """Where many images of one style are alike, as posts and the corpus of their own model, chance reaches 1."""
    found = calibrate(background(20_000, 0.5, 1), 1e-3)
    assert (found.tail, found.why) == (None, ALL_CLOSE)


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
        tail = fit_tail(np.sort(values))
        assert found is not None and tail is not None and found[0] < tail.threshold(1e-3) < found[1]
        widths.append(found[1] - found[0])
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize("values", [[], [0.5] * 1000, list(np.linspace(0, 0.9, 100))])
def test_too_few_or_too_equal_similarities_have_no_tail(values: list[float]) -> None:
    assert fit_tail(np.array(values)) is None
    assert threshold_interval(values or [0.1], 1e-3, np.random.default_rng(0), 10) is None
