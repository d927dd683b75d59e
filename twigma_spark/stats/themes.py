"""Shares of the clusters over months and strata, their trends, and NSFW shares, as rows of `results`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.stats.estimate import Estimate, Named, not_computed
from twigma_spark.stats.shares import Floats, dense, share_estimates
from twigma_spark.stats.trends import Trend, arrow, correct_p_values, growth, rule, trend

UNIT = "images"
# Where the number of the cluster goes in the name of a group; no hashtag and no client holds it.
PLACE = "\0"


@dataclass(frozen=True)
class Rule:
    """When a trend is an arrow.

    Attributes:
        level: q below which it may be.
        least: relative change that it must reach.
        confidence: of the intervals.
    """

    level: float
    least: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Activity:
    """Images of each post (or other unit) by cluster.

    Attributes:
        hits: images (units, clusters).
        month: months from any start on (units,).
        strata: by name, whether a unit is in it (units,).
        of: what the units are, such as "tweets".
    """

    hits: Floats
    month: NDArray[np.int64]
    strata: Mapping[str, NDArray[np.bool_]]
    of: str = "tweets"

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


def theme_results(data: Activity, by: Rule) -> Iterator[Named]:
    """Yield the shares of all clusters, by month and by stratum, and their trends."""
    if not data.hits.size:
        yield Named("trends", "share", "all", not_computed("no dated image of the posts is in a theme", 0, UNIT))
        return
    yield from _shares("trends", "share", PLACE, data, by)
    yield from month_shares(data, by)
    yield from _trends("trends", {PLACE: data}, by)
    inside = {f"{name}|{PLACE}": _part(data, rows) for name, rows in data.strata.items() if rows.any()}
    for pattern, part in inside.items():
        yield from _shares("trends_by_stratum", "share", pattern, part, by)
    yield from _trends("trends_by_stratum", inside, by)


def _part(data: Activity, rows: NDArray[np.bool_]) -> Activity:
    return Activity(data.hits[rows], data.month[rows], {}, data.of)


def _shares(analysis: str, metric: str, pattern: str, data: Activity, by: Rule) -> Iterator[Named]:
    found = share_estimates(data.hits, data.sizes, UNIT, data.of, by.confidence)
    for cluster, value in enumerate(found):
        yield Named(analysis, metric, _group(pattern, cluster), value)


def _group(pattern: str, cluster: int) -> str:
    return pattern.replace(PLACE, str(cluster))


def month_shares(data: Activity, by: Rule) -> Iterator[Named]:
    """Yield the share of each cluster among the images of each month; a month without images is said to be one."""
    for month in range(int(data.month.min()), int(data.month.max()) + 1):
        rows = data.month == month
        if rows.any():
            yield from _shares("trends", "month_share", f"{PLACE}|{month_name(month)}", _part(data, rows), by)
        else:
            reason = not_computed("no images were posted in this month", 0, UNIT)
            yield Named("trends", "month_share", f"all|{month_name(month)}", reason)


def _trends(analysis: str, parts: Mapping[str, Activity], by: Rule) -> Iterator[Named]:
    """Yield slope, relative change, q and arrow of each cluster in each part; q is over all of them."""
    found: list[tuple[str, Activity, Trend | str]] = [
        (_group(pattern, cluster), part, trend(column, part.sizes, part.month, by.confidence))
        for pattern, part in parts.items()
        for cluster, column in enumerate(part.hits.T)
    ]
    q_values = correct_p_values([each for _, _, each in found])
    for (group, part, each), q in zip(found, q_values, strict=True):
        if isinstance(each, str) or q is None:
            reason = each if isinstance(each, str) else "it has no p-value"
            yield Named(analysis, "arrow", group, not_computed(reason, int(part.sizes.sum()), UNIT))
        else:
            yield from _told(analysis, group, each, q, by, part.of)


def _told(analysis: str, group: str, found: Trend, q: float, by: Rule, of: str) -> Iterator[Named]:
    errors = f"{by.confidence:.0%} t interval, errors clustered by {found.groups:,} {of}"
    how = f"binomial regression of the share on the month over {found.months} months; {errors}"
    yield Named(
        analysis, "relative_change", group,
        Estimate(found.change, found.low, found.high, found.n, UNIT, f"last month over first month - 1; {how}"),
    )  # fmt: skip
    yield Named(analysis, "slope", group, replace(_slope(found, by), method=f"log odds a month; {how}"))
    method = f"p = {found.p:.3g} corrected by Benjamini & Hochberg; no interval"
    yield Named(analysis, "q", group, Estimate(q, None, None, found.n, UNIT, method))
    sign = float(arrow(found, q, by.level, by.least))
    method = f"1 rising, 0 steady, -1 falling: {rule(by.level, by.least)}; no interval"
    yield Named(analysis, "arrow", group, Estimate(sign, None, None, found.n, UNIT, method))


def _slope(found: Trend, by: Rule) -> Estimate:
    from scipy.stats import t

    half = found.error * float(t.ppf((1 + by.confidence) / 2, found.groups - 2))
    return Estimate(found.slope, found.slope - half, found.slope + half, found.n, UNIT, "")


def activity_results(posts: Mapping[int, int], images: Mapping[int, int]) -> Iterator[Named]:
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
                Estimate(float(count), None, None, count, metric, "count by month, UTC; a census, no interval")
                if count
                else not_computed("nothing was posted in this month", 0, metric)
            )
            yield Named("activity", metric, month_name(month), value)
        if not found:
            yield Named("activity", metric, "all", not_computed("no post has a date", 0, metric))
    if posts:
        counts = [posts.get(month, 0) for month in range(min(posts), max(posts) + 1)]
        yield Named("activity", "growth", "posts", growth(counts))


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


def nsfw_results(
    data: Scored, thresholds: Sequence[float], corpora: Sequence[str], confidence: float
) -> Iterator[Named]:
    """Yield the share of scored images above each threshold, by corpus and by cluster.

    Args:
        data: scored images.
        thresholds: scores.
        corpora: all corpora, those without scores among them.
        confidence: of the intervals.
    """
    parts = {name: data.corpus == name for name in corpora}
    for name in corpora:
        clusters = np.unique(data.cluster[parts[name] & (data.cluster >= 0)]).tolist()
        parts |= {f"{name}|cluster {c}": (data.corpus == name) & (data.cluster == c) for c in clusters}
    for group, rows in parts.items():
        unit, sizes, above = data.unit[rows], data.scored[rows], data.above[rows]
        if not len(unit):
            yield Named("nsfw", "share_above", group, not_computed("no NSFW model has scored its images", 0, UNIT))
            continue
        code = dense(unit)
        hits = np.stack([np.bincount(code, weights=column) for column in above.T], axis=1)
        found = share_estimates(hits, np.bincount(code, weights=sizes), UNIT, "posts, prompts or artists", confidence)
        for limit, value in zip(thresholds, found, strict=True):
            method = f"score above {limit:g}; {value.method}; the model's errors are not part of it"
            yield Named("nsfw", f"share_above_{limit:g}", group, replace(value, method=method))
