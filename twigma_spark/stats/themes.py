"""Shares of the clusters over months and strata, their trends, and NSFW shares, as rows of `results`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats.change_points import ChangePoint, change_point
from twigma_spark.stats.intervals import wilson_value
from twigma_spark.stats.score_tests import SignFlips
from twigma_spark.stats.shares import Floats, dense, group_sums, share_estimates
from twigma_spark.stats.trends import Trend, arrow, correct_p_values, growth, rule, trend

UNIT = "images"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class TrendRule:
    """When a trend is an arrow.

    Attributes:
        level: q below which it may be.
        least: relative change that it must reach.
        confidence: of the intervals.
        seed: of the random signs of the tests.
    """

    level: float
    least: float
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Activity:
    """Images of each post (or other unit) by cluster.

    Attributes:
        hits: images (units, clusters).
        month: months from any start on (units,).
        group: what each unit is alike with, such as any label of its author (units,).
        strata: by (kind, name), whether a unit is in it (units,).
        of: what the groups are, such as "authors".
    """

    hits: Floats
    month: NDArray[np.int64]
    group: NDArray[Any]
    strata: Mapping[tuple[str, str], NDArray[np.bool_]]
    of: str = "authors"

    @property
    def sizes(self) -> Floats:
        """Images of each unit (units,)."""
        return np.asarray(self.hits.sum(axis=1))


def month_name(month: int) -> str:
    """Return "YYYY-MM" of a month that is counted from January of the year 0."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def gather_units(
    unit: NDArray[Any], month: NDArray[Any], cluster: NDArray[Any], images: NDArray[Any]
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return images (units, clusters), month (units,) and the first row of each unit, of rows a unit and cluster.

    A unit that has images in two months counts as two.
    """
    if not len(unit):
        return np.zeros((0, 0)), np.zeros(0, np.int64), np.zeros(0, np.int64)
    both = dense(unit) * (int(month.max()) + 1) + month
    _, first, code = np.unique(both, return_index=True, return_inverse=True)
    table = np.zeros((len(first), int(cluster.max()) + 1), np.float32)
    np.add.at(table, (code, cluster), images)
    return table.astype(np.float64), month[first].astype(np.int64), first


def theme_results(data: Activity, by: TrendRule) -> Iterator[Result]:
    """Yield the shares of all clusters, by month and by stratum, and their trends."""
    if not data.hits.size:
        absent = not_computed("no dated image of the posts is in a theme", 0, UNIT)
        yield Result.of("trends", "share", absent)
        return
    yield from theme_headlines(data, by)
    yield from month_shares(data, by)
    yield from _change_points(data, by)
    strata = [
        ({"kind": kind, "stratum": name}, _part(data, rows)) for (kind, name), rows in data.strata.items() if rows.any()
    ]
    for labels, part in strata:
        yield from _shares("trends_by_stratum", "share", labels, part, by)
    yield from _trends("trends_by_stratum", strata, by)


def theme_headlines(data: Activity, by: TrendRule) -> Iterator[Result]:
    """Yield the share of each cluster and its trend; nothing where no dated image is in one."""
    if data.hits.size:
        yield from _shares("trends", "share", {}, data, by)
        yield from _trends("trends", [({}, data)], by)


def _part(data: Activity, rows: NDArray[np.bool_]) -> Activity:
    return Activity(data.hits[rows], data.month[rows], data.group[rows], {}, data.of)


def _shares(analysis: str, metric: str, labels: Labels, data: Activity, by: TrendRule) -> Iterator[Result]:
    hits = group_sums(data.hits, dense(data.group))
    shares = share_estimates(hits, hits.sum(axis=1), UNIT, data.of, by.confidence)
    for cluster, value in enumerate(shares):
        yield Result.of(analysis, metric, value, cluster=cluster, **labels)


def month_shares(data: Activity, by: TrendRule) -> Iterator[Result]:
    """Yield the share of each cluster among the images of each month; a month without images is said to be one."""
    for month in range(int(data.month.min()), int(data.month.max()) + 1):
        rows, labels = data.month == month, {"month": month_name(month)}
        if rows.any():
            yield from _shares("trends", "month_share", labels, _part(data, rows), by)
        else:
            absent = not_computed("no images were posted in this month", 0, UNIT)
            yield Result.of("trends", "month_share", absent, **labels)


def _trends(analysis: str, parts: Sequence[tuple[Labels, Activity]], by: TrendRule) -> Iterator[Result]:
    """Yield slope, relative change, q and arrow of each cluster in each part; q is over all of them."""
    flips = SignFlips(by.seed)
    fitted: list[tuple[Labels, Activity, Trend | str]] = [
        (
            {"cluster": str(cluster), **labels},
            part,
            trend(column, part.sizes, part.month, part.group, by.confidence, flips),
        )
        for labels, part in parts
        for cluster, column in enumerate(part.hits.T)
    ]
    q_values = correct_p_values([each for _, _, each in fitted])
    for (labels, part, each), q in zip(fitted, q_values, strict=True):
        if isinstance(each, str) or q is None:
            reason = each if isinstance(each, str) else "it has no p-value"
            yield Result.of(analysis, "arrow", not_computed(reason, int(part.sizes.sum()), UNIT), **labels)
        else:
            for metric, value in _describe_trend(each, q, by, part.of):
                yield Result.of(analysis, metric, value, **labels)


def _change_points(data: Activity, by: TrendRule) -> Iterator[Result]:
    """Yield the bend of each cluster's course, and its q over the clusters."""
    flips = SignFlips(by.seed)
    changes = [change_point(column, data.sizes, data.month, data.group, by.confidence, flips) for column in data.hits.T]
    known = [i for i, each in enumerate(changes) if isinstance(each, ChangePoint)]
    q_values = false_discovery_control([each.p for each in changes if isinstance(each, ChangePoint)]) if known else []
    q_of = dict(zip(known, q_values, strict=True))
    for cluster, each in enumerate(changes):
        if isinstance(each, str):
            absent = not_computed(each, int(data.sizes.sum()), UNIT)
            yield Result.of("trends", "change_point", absent, cluster=cluster)
            continue
        words = (
            f"percent by which the monthly growth of the odds changes from {month_name(each.month)} on, the most "
            f"likely of {each.tried} months; {by.confidence:.0%} interval by score tests with the signs of "
            f"{each.groups:,} {data.of} drawn, the month taken as known"
        )
        labels = {"cluster": cluster, "month": month_name(each.month)}
        yield Result.of("trends", "change_point", _value(_percent(each.bend), each.n, words), **labels)
        method = (
            f"p = {each.p:.3g} of no bend (Bonferroni over the months), corrected by Benjamini & Hochberg; no interval"
        )
        yield Result.of(
            "trends", "change_point_q", Value(float(q_of[cluster]), None, None, each.n, UNIT, method), **labels
        )


def _percent(bend: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return a bend and its ends as percent of the odds; infinite ends stay so."""
    estimate, low, high = (100 * float(np.expm1(end)) if np.isfinite(end) else end for end in bend)
    return estimate, low, high


def _describe_trend(trend: Trend, q: float, by: TrendRule, of: str) -> Iterator[tuple[str, Value]]:
    tests = f"{by.confidence:.0%} interval by score tests with the signs of {trend.groups:,} {of} drawn"
    words = f"binomial regression of the share on the month over {trend.months} months; {tests}"
    yield "relative_change", _value(trend.change, trend.n, f"last month over first month - 1; {words}")
    yield "slope", _value(trend.slope, trend.n, f"log odds a month; {words}")
    method = f"p = {trend.p:.3g} corrected by Benjamini & Hochberg; no interval"
    yield "q", Value(q, None, None, trend.n, UNIT, method)
    sign = float(arrow(trend, q, by.level, by.least))
    method = f"1 rising, 0 steady, -1 falling: {rule(by.level, by.least)}; no interval"
    yield "arrow", Value(sign, None, None, trend.n, UNIT, method)


def _value(ends: tuple[float, float, float], n: int, method: str) -> Value:
    """Return an estimate and its interval; an end that is infinite is none."""
    estimate, low, high = (end if np.isfinite(end) else None for end in ends)
    return Value(estimate, low, high, n, UNIT, method)


def activity_results(posts: Mapping[int, int], images: Mapping[int, int]) -> Iterator[Result]:
    """Yield posts and images by month, and the growth of the posts; a month without any has no number.

    Args:
        posts: by month.
        images: kept ones, by month.
    """
    for metric, found in (("posts", posts), ("images", images)):
        months = range(min(found), max(found) + 1) if found else range(0)
        for month in months:
            count = found.get(month)
            value = (
                Value(float(count), None, None, count, metric, "count by month, UTC; a census, no interval")
                if count
                else not_computed("nothing was posted in this month", 0, metric)
            )
            yield Result.of("activity", metric, value, month=month_name(month))
        if not found:
            yield Result.of("activity", metric, not_computed("no post has a date", 0, metric))
    if posts:
        counts = [posts.get(month, 0) for month in range(min(posts), max(posts) + 1)]
        yield Result.of("activity", "growth", growth(counts))


@dataclass(frozen=True)
class Scored:
    """Scored images of units, each (rows,) but `above`.

    Attributes:
        corpus: name.
        unit: what images come in.
        cluster: of the posts' themes; -1 without one.
        scored: images.
        above: those above each threshold (rows, thresholds).
    """

    corpus: NDArray[Any]
    unit: NDArray[Any]
    cluster: NDArray[Any]
    scored: NDArray[Any]
    above: NDArray[Any]


def word_results(counts: Iterable[tuple[str, int, int]]) -> Iterator[Result]:
    """Yield the share of the posts that have a word, of (word, posts that have it, posts with a text)."""
    for word, posts, texts in counts:
        value = wilson_value(posts, texts, "posts", "posts with a text, flagged ones left out; Wilson, 95%")
        yield Result.of("activity", "word", value, word=word)


def nsfw_results(
    data: Scored, thresholds: Sequence[float], corpora: Sequence[str], confidence: float, edges: Sequence[float] = ()
) -> Iterator[Result]:
    """Yield the share of scored images above each threshold, by corpus and by cluster, and the scores' histograms.

    Args:
        data: scored images, `above` each of the thresholds and then each of the edges.
        thresholds: scores.
        corpora: all corpora, those without scores among them.
        confidence: of the intervals.
        edges: inner edges of the histograms' bins, in order; none makes no histogram.
    """
    for name in corpora if edges else ():
        yield from _score_histogram(data, name, len(thresholds), edges, confidence)
    parts = [({"corpus": name}, data.corpus == name) for name in corpora]
    for name in corpora:
        own = data.corpus == name
        clusters = np.unique(data.cluster[own & (data.cluster >= 0)]).tolist()
        parts += [({"corpus": name, "cluster": str(c)}, own & (data.cluster == c)) for c in clusters]
    for labels, rows in parts:
        unit, sizes, above = data.unit[rows], data.scored[rows], data.above[rows, : len(thresholds)]
        if not len(unit):
            yield Result.of(
                "nsfw", "share_above", not_computed("no NSFW model has scored its images", 0, UNIT), **labels
            )
            continue
        code = dense(unit)
        hits = np.stack([np.bincount(code, weights=column) for column in above.T], axis=1)
        shares = share_estimates(
            hits, np.bincount(code, weights=sizes), UNIT, "authors, posts, prompts or artists", confidence
        )
        for limit, value in zip(thresholds, shares, strict=True):
            method = f"score above {limit:g}; {value.method}; the model's errors are not part of it"
            yield Result.of("nsfw", "share_above", replace(value, method=method), threshold=limit, **labels)


def _score_histogram(
    data: Scored, corpus: str, first: int, edges: Sequence[float], confidence: float
) -> Iterator[Result]:
    """Yield the share of the scored images of a corpus in each bin of the score, from 0 to 1."""
    rows = data.corpus == corpus
    if not rows.any():
        return
    code, scored = dense(data.unit[rows]), data.scored[rows]
    # How many are above the lower edge of each bin, less those above its upper edge.
    above = np.concatenate([scored[:, None], data.above[rows, first:], np.zeros((len(scored), 1))], axis=1)
    hits = group_sums(above[:, :-1] - above[:, 1:], code)
    shares = share_estimates(hits, group_sums(scored, code), UNIT, "authors, posts, prompts or artists", confidence)
    for low, high, value in zip((0.0, *edges), (*edges, 1.0), shares, strict=True):
        method = f"score above {low:g} (from 0 on in the first bin) up to {high:g}; {value.method}"
        yield Result.of("nsfw", "share_between", replace(value, method=method), corpus=corpus, score=low)
