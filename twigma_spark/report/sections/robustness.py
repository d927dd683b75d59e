"""The section on robustness: the divergence in every cell of the grid, and how often the ranking changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.metrics import find
from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import count, interval, number, percent
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result
from twigma_spark.stats.sensitivity import AS_IT_IS

METRIC = "kl_kt"
# Analysis and metric of the numbers that the report leads with.
HEADLINES = (
    ("distinctiveness", METRIC), ("variation", "pair_distance"), ("variation", "variance_component"),
    ("likes_regression", "poisson_score"), ("sensitivity", "nearest_share"), ("trends", "relative_change"),
    ("trends", "arrow"), ("nsfw", "share_above"),
)  # fmt: skip
LEAST = "quintile 1"  # the level of the likes' regression that is compared with quintile 5
SMOOTHING = {"kl": "no smoothing", "kl_kt": "half an image a cluster"}


def context(data: ReportData) -> dict[str, object]:
    """Return the chart of the cells, and how often the ranking changes by corpus and smoothing."""
    changes = [
        (SMOOTHING[m], r)
        for m in SMOOTHING
        for r in _order_by_corpus(data, data.by_label("ranking_changes", m, "corpus"))
    ]
    return {
        "chart": _chart(data),
        "changes": [(words, r, _share(r)) for words, r in changes],
        "agreement": data.select("sensitivity", "rank_agreement"),
        "left_out": data.select("sensitivity", "left_out"),
        "headlines": _headlines(data),
    }


@dataclass(frozen=True)
class Headline:
    """A number that the report leads with, as it is and in another way.

    Attributes:
        variant: the other way.
        title: what the number is.
        of: its labels, in words.
        own: as it is.
        other: in the other way.
        agrees: in words: whether both say the same.
    """

    variant: str
    title: str
    of: str
    own: str
    other: str
    agrees: str


def _headlines(data: ReportData) -> list[Headline]:
    """Return the headlines beside what they are in each other way."""
    posts, headlines = data.of_role("posts"), []
    for analysis, metric in HEADLINES:
        entry = find(analysis, metric)
        for other in data.select("sensitivity", metric):
            variant = other.labels["variant"]
            labels = {name: value for name, value in other.labels.items() if name != "variant"}
            if variant == AS_IT_IS or not _leads(labels, posts):
                continue
            own = data.get(analysis, metric, **({"variant": AS_IT_IS} if analysis == "sensitivity" else {}), **labels)
            if own is not None and entry is not None:
                of = ", ".join(f"{name} {value}" for name, value in labels.items())
                headlines.append(Headline(variant, entry.title, of, _ends(own), _ends(other), _compare(own, other)))
    return headlines


def _leads(labels: Mapping[str, str], posts: Sequence[str]) -> bool:
    """Return whether the report leads with the number: of posts, and for likes of the least similar quintile."""
    corpus = labels.get("p", labels.get("corpus"))
    return (corpus is None or corpus in posts) and labels.get("level", LEAST) == LEAST


def _ends(row: Result) -> str:
    if row.estimate is None:
        return "not computed"
    return number(row.estimate) + (f" {interval(row.low, row.high)}" if row.low is not None else "")


def _compare(own: Result, other: Result) -> str:
    if own.estimate is None or other.estimate is None:
        return "–"
    if own.low is None or own.high is None or other.low is None or other.high is None:
        return "equal" if own.estimate == other.estimate else "differ"
    if own.low > other.high or other.low > own.high:
        return "the intervals are apart"
    one, two = (_excludes_zero(row) for row in (own, other))
    return "yes" if one == two else "only one of the intervals excludes 0"


def _excludes_zero(row: Result) -> bool:
    return row.low is not None and row.high is not None and not row.low <= 0 <= row.high


def _chart(data: ReportData) -> Figure | None:
    """Return a row for each reference of the posts: the main value, its interval and that of every cell."""
    pairs = [(p, c.name) for p in data.of_role("posts") for c in data.corpora if c.name != p]
    main = [r for p, q in pairs if (r := data.get("distinctiveness", METRIC, p=p, q=q))]
    main = [r for r in main if r.estimate is not None and not math.isinf(r.estimate)]
    dots = [cell for r in main for cell in data.select("grid", METRIC, **r.labels)]
    if not dots:
        return None
    traces = [
        go.Scatter(
            x=[r.estimate for r in dots], y=[_name(r) for r in dots], mode="markers", name="other settings",
            marker={"color": colour(1), "size": 8, "opacity": 0.35},
            customdata=[[_setting(r), interval(r.low, r.high)] for r in dots],
            hovertemplate="%{customdata[0]}: %{x:.3f} nats %{customdata[1]}<extra></extra>",
        ),
        go.Scatter(
            x=[r.estimate for r in main], y=[_name(r) for r in main], mode="markers", name="main settings",
            marker={"color": colour(0), "size": 12, "symbol": "diamond"},
            error_x=_errors(main),
            hovertemplate="main settings: %{x:.3f} nats<extra></extra>",
        ),
    ]  # fmt: skip
    layout = {
        "height": 140 + 56 * len(main), "yaxis": {"autorange": "reversed", "type": "category"},
        "xaxis": {"title": {"text": "smoothed KL divergence, nats"}, "rangemode": "tozero"},
    }  # fmt: skip
    ways = len(dots) // len(main)
    caption = (
        f"KL divergence from the posts by {count(ways)} other ways to compute it (dots; number of clusters, seed, "
        f"size of the sample) and by the main settings (diamond, with its bootstrap interval), in nats; n = "
        f"{count(main[0].n)} {main[0].unit}. {_describe(data)}"
    )
    return figure("fig-grid", traces, layout, caption)


def findings(data: ReportData) -> list[Finding]:
    """Return how often another way to compute the divergence ranks the references of the posts otherwise."""
    changes = data.by_label("ranking_changes", METRIC, "corpus")
    return [_finding(changes[p]) for p in data.of_role("posts") if p in changes]


def _finding(row: Result) -> Finding:
    holds = "holds" if (row.high or 0.0) < 0.5 else "is not safe"
    ranking = f"The ranking of references from {row.labels['corpus']}"
    text = f"{ranking} {holds} under other settings: it changes in {_share(row)} of them."
    return Finding(text, f"n = {count(row.n)} {row.unit}; {row.method}.")


def _describe(data: ReportData) -> str:
    changes = data.by_label("ranking_changes", METRIC, "corpus")
    sentences = [
        f"The ranking from {p} changes in {_share(changes[p])} of the ways."
        for p in data.of_role("posts")
        if p in changes
    ]
    return " ".join(sentences)


def _share(row: Result) -> str:
    if row.estimate is None:
        return "–"
    ends = f" [{percent(row.low)}, {percent(row.high)}]" if row.low is not None else ""
    return f"{percent(row.estimate)}{ends}"


def _errors(rows: list[Result]) -> dict[str, object]:
    """Return plotly's error bars; nothing past infinity is drawn."""
    above = [_reach(r.high, r.estimate) for r in rows]
    below = [_reach(r.estimate, r.low) for r in rows]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 2, "width": 6}


def _reach(high: float | None, low: float | None) -> float:
    if high is None or low is None or not math.isfinite(high - low):
        return 0.0
    return max(0.0, high - low)


def _name(row: Result) -> str:
    return label(f"{row.labels['p']} to {row.labels['q']}")


def _setting(row: Result) -> str:
    return ", ".join(f"{name} {row.labels[name]}" for name in ("clusters", "seed", "share"))


def _order_by_corpus(data: ReportData, rows: dict[str, Result]) -> list[Result]:
    return [rows[c.name] for c in data.corpora if c.name in rows]


SECTION = ReportSection("robustness", "Robustness", context, findings)
