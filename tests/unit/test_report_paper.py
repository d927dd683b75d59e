"""The table beside the paper: the verdict follows sign and interval."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_demo import demo

from twigma_spark.report.sections.paper import ABSENT, AGREES, DIFFERS, OPEN, Claim, claims
from twigma_spark.results import Result, Value


def row(analysis: str, metric: str, low: float, high: float, **labels: object) -> Result:
    return Result.of(analysis, metric, Value((low + high) / 2, low, high, 900, "images", "made up"), **labels)


def of(*rows: Result) -> dict[str, Claim]:
    return {claim.stated: claim for claim in claims(replace(demo(), results=rows))}


@pytest.mark.parametrize(("low", "high", "verdict"), [(5, 60, AGREES), (-50, -5, DIFFERS), (-5, 20, OPEN)])
def test_likes_agree_where_the_least_similar_get_more(low: float, high: float, verdict: str) -> None:
    found = of(row("likes_regression", "poisson_score", low, high, reference="photo", level="quintile 1"))
    assert found["The more similar to natural images, the fewer likes"].verdict == verdict


@pytest.mark.parametrize(
    ("posts", "photo", "verdict"),
    [((0.9, 1.0), (1.1, 1.2), AGREES), ((1.1, 1.2), (0.9, 1.0), DIFFERS), ((0.9, 1.1), (1.0, 1.2), OPEN)],
)
def test_variation_is_decided_where_the_intervals_are_apart(
    posts: tuple[float, float], photo: tuple[float, float], verdict: str
) -> None:
    found = of(row("variation", "pair_distance", *posts, corpus="posts"),
               row("variation", "pair_distance", *photo, corpus="photo"))  # fmt: skip
    assert found["Generated images vary less than natural images (photo)"].verdict == verdict
    assert found["Generated images vary less than human art (art)"].verdict == ABSENT


def test_there_are_none_without_the_papers_roles() -> None:
    data = demo()
    assert claims(replace(data, corpora=tuple(c for c in data.corpora if c.role == "posts"))) == []
    assert claims(data)[0].stated == "805,650 images of 623,707 tweets"
