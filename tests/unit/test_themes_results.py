"""The rows on themes, activity and NSFW shares: gaps, strata, arrows, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from made_results import joined

from twigma_spark.results import Result
from twigma_spark.stats import themes
from twigma_spark.stats.themes import Activity, Scored, TrendRule

RULE = TrendRule(0.05, 0.1)
START = 2021 * 12


def activity(seed: int = 0, gap: int | None = None) -> Activity:
    """Return posts over 12 months of a theme that rises, one that falls and one that holds."""
    rng = np.random.default_rng(seed)
    month = rng.integers(0, 12, 1500)
    month = month[month != gap] if gap is not None else month
    odds = np.exp(np.stack([0.2 * (month - 5.5), -0.2 * (month - 5.5), np.zeros(len(month))], axis=1))
    drawn = (rng.random(len(month))[:, None] > np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)).sum(axis=1)
    hits = np.eye(3)[drawn] * rng.integers(1, 5, len(month))[:, None]
    return Activity(
        hits, month + START, np.arange(len(hits)), {("hashtag", "a{}b"): month % 2 == 0, ("source", "none"): month < 0}
    )


def table(found: list[Result]) -> dict[tuple[str, str, str], Result]:
    keys = {(row.analysis, row.metric, joined(row)): row for row in found}
    assert len(keys) == len(found)
    for row in found:
        value = row.value
        assert value.method and value.unit and value.n >= 0
        assert all(end is None or np.isfinite(end) for end in (value.estimate, value.low, value.high))
        if value.low is not None:
            assert value.low <= value.estimate <= value.high
    return keys


def test_arrows_follow_what_was_planted() -> None:
    found = table(list(themes.theme_results(activity(), RULE)))
    assert [found["trends", "arrow", str(k)].value.estimate for k in range(3)] == [1, -1, 0]
    assert "rising or falling where q < 0.05" in found["trends", "arrow", "0"].value.method
    assert found["trends", "relative_change", "0"].value.low > 0 > found["trends", "relative_change", "1"].value.high


def test_a_large_least_change_makes_all_steady() -> None:
    found = table(list(themes.theme_results(activity(), TrendRule(0.05, 1e6))))
    assert {found["trends", "arrow", str(k)].value.estimate for k in range(3)} == {0}


def test_shares_add_up_and_rest_on_images_clustered_by_author() -> None:
    data = activity()
    found = table(list(themes.theme_results(data, RULE)))
    assert sum(found["trends", "share", str(k)].value.estimate for k in range(3)) == pytest.approx(1)
    one = found["trends", "month_share", "1|2021-03"].value
    rows = data.month == START + 2
    assert one.estimate == pytest.approx(data.hits[rows, 1].sum() / data.hits[rows].sum())
    assert one.n == data.hits[rows].sum() and "authors" in one.method


def test_a_month_without_posts_is_a_gap_and_not_a_zero() -> None:
    found = table(list(themes.theme_results(activity(gap=4), RULE)))
    assert found["trends", "month_share", "2021-05"].value.estimate is None
    assert ("trends", "month_share", "0|2021-05") not in found
    assert len([key for key in found if key[1] == "month_share"]) == 11 * 3 + 1


def test_strata_have_shares_and_trends_and_empty_ones_none() -> None:
    found = table(list(themes.theme_results(activity(), RULE)))
    assert found["trends_by_stratum", "arrow", "hashtag|a{}b|0"].value.estimate == 1  # a name may hold braces
    assert not [key for key in found if "none" in key[2]]


def test_no_images_are_a_sentence() -> None:
    empty = Activity(np.zeros((0, 0)), np.zeros(0, np.int64), np.zeros(0, np.int64), {})
    (only,) = themes.theme_results(empty, RULE)
    assert only.value.estimate is None and "no dated image" in only.value.method


def test_one_image_has_a_share_and_no_trend() -> None:
    one = Activity(np.array([[0.0, 1.0]]), np.array([START]), np.array([7]), {})
    found = table(list(themes.theme_results(one, RULE)))
    assert found["trends", "share", "1"].value.estimate == 1
    assert "two months" in found["trends", "arrow", "1"].value.method


def test_rows_are_gathered_by_unit_and_month() -> None:
    unit, month = np.array([7, 7, 9, 7]), np.array([1, 1, 1, 2])
    hits, months, first = themes.gather_units(unit, month, np.array([0, 2, 1, 0]), np.array([1, 3, 2, 5]))
    assert sorted(map(tuple, hits.tolist())) == [(0, 2, 0), (1, 0, 3), (5, 0, 0)]
    assert sorted(months.tolist()) == [1, 1, 2] and len(first) == 3


def test_posts_by_month_with_a_gap_and_growth() -> None:
    found = table(list(themes.activity_results({START: 3, START + 1: 5, START + 3: 9}, {START: 4})))
    assert found["activity", "posts", "2021-02"].value.estimate == 5
    assert found["activity", "posts", "2021-03"].value.estimate is None
    assert found["activity", "growth", ""].value.estimate > 0
    assert "no post has a date" in table(list(themes.activity_results({}, {})))["activity", "posts", ""].value.method


def test_nsfw_shares_by_corpus_and_cluster() -> None:
    data = Scored(
        np.array(["posts", "posts", "art"], object), np.array([1, 2, 3]), np.array([0, 1, -1]),
        np.array([2, 2, 4]), np.array([[2, 1], [0, 0], [1, 0]]),
    )  # fmt: skip
    found = table(list(themes.nsfw_results(data, (0.5, 0.9), ["posts", "art", "photo"], 0.95)))
    assert found["nsfw", "share_above", "posts|0.5"].value.estimate == 0.5
    assert found["nsfw", "share_above", "posts|0|0.9"].value.estimate == 0.5
    assert found["nsfw", "share_above", "art|0.5"].value.estimate == 0.25
    assert "no NSFW model" in found["nsfw", "share_above", "photo"].value.method


def test_nsfw_scores_have_a_histogram_by_corpus() -> None:
    """Five images of one corpus: scores 0.1, 0.2 and 0.6 of one author, 0.6 and 0.9 of another; edges 0.25 and 0.75."""
    above = np.array([[1, 1, 0], [2, 2, 1]])  # above the threshold 0.5, then above each edge
    data = Scored(np.array(["posts", "posts"], object), np.array([1, 2]), np.array([0, 0]), np.array([3, 2]), above)
    found = table(list(themes.nsfw_results(data, (0.5,), ["posts", "art"], 0.95, (0.25, 0.75))))
    shares = {key[2]: row.value for key, row in found.items() if key[1] == "share_between"}
    assert {label: value.estimate for label, value in shares.items()} == {
        "posts|0": pytest.approx(0.4), "posts|0.25": pytest.approx(0.4), "posts|0.75": pytest.approx(0.2)
    }  # fmt: skip
    assert "up to 0.25" in shares["posts|0"].method and "authors" in shares["posts|0"].method
    assert found["nsfw", "share_above", "posts|0.5"].value.estimate == 0.6


def test_names_of_months() -> None:
    assert (themes.month_name(2021 * 12), themes.month_name(2022 * 12 + 11)) == ("2021-01", "2022-12")
