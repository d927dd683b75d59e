"""Bends of a theme's course: a planted one is found, a straight one is not, and too little data says so."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.stats.change_points import ChangePoint, change_point
from twigma_spark.stats.score_tests import SignFlips

FLIPS = SignFlips(0)


def course(bend: float, seed: int, posts: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posts of 24 months by authors who keep to a theme; from month 14 on the log odds rise by `bend` a month."""
    rng = np.random.default_rng(seed)
    author = rng.integers(0, posts // 5, posts)
    month = rng.integers(0, 24, posts)
    level = -1.0 + 0.02 * month + bend * np.maximum(month - 14, 0) + 0.7 * rng.normal(size=posts // 5)[author]
    return (rng.random(posts) < 1 / (1 + np.exp(-level))).astype(float), month, author


def test_a_planted_bend_is_found_near_its_month() -> None:
    hits, month, author = course(0.25, 1)
    found = change_point(hits, np.ones(len(hits)), month, author, 0.95, FLIPS)
    assert isinstance(found, ChangePoint)
    assert abs(found.month - 14) <= 2 and found.p < 0.01
    low, high = found.bend[1:]
    assert low < found.bend[0] < high and low > 0.05
    assert (found.tried, found.n) == (12, 4000)


def test_a_straight_course_seldom_bends() -> None:
    """At p below 0.05, corrected for the months tried, at most one of 20 straight courses in the mean."""
    bent = 0
    for seed in range(20):
        hits, month, author = course(0.0, 100 + seed, 1500)
        found = change_point(hits, np.ones(len(hits)), month, author, 0.95, FLIPS)
        bent += isinstance(found, ChangePoint) and found.p < 0.05
    assert bent <= 3


@pytest.mark.parametrize(("months", "words"), [(1, "two months"), (5, "a bend needs 7 months with data, there are 5")])
def test_too_few_months_are_a_sentence(months: int, words: str) -> None:
    rng = np.random.default_rng(0)
    month = rng.integers(0, months, 300)
    found = change_point(
        (rng.random(300) < 0.4).astype(float), np.ones(300), month, rng.integers(0, 60, 300), 0.95, FLIPS
    )
    assert isinstance(found, str) and words in found
