"""The section on robustness: the divergence in every cell of the grid, and how often the ranking changes."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData, Result
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import count, interval, percent
from twigma_spark.report.section import Finding, Section

METRIC = "kl_kt"
SMOOTHING = {"kl": "no smoothing", "kl_kt": "half an image a cluster"}


def context(data: ReportData) -> dict[str, object]:
    """Return the chart of the cells, and how often the ranking changes by corpus and smoothing."""
    changes = [(SMOOTHING[m], r) for m in SMOOTHING for r in _order_by_corpus(data, data.found("ranking_changes", m))]
    return {"chart": _chart(data), "changes": [(words, r, _share(r)) for words, r in changes]}


def _chart(data: ReportData) -> Figure | None:
    """Return a row for each reference of the posts: the main value, its interval and that of every cell."""
    main, cells = data.found("distinctiveness", METRIC), data.found("grid", METRIC)
    groups = [f"{p}|{c.name}" for p in data.of_role("posts") for c in data.corpora if c.name != p]
    shown = [
        g for g in groups if g in main and main[g].estimate is not None and not math.isinf(main[g].estimate or 0.0)
    ]
    if not shown or not cells:
        return None
    dots = [(g, name[len(g) + 1 :], r) for g in shown for name, r in cells.items() if name.startswith(f"{g}|")]
    traces = [
        go.Scatter(
            x=[r.estimate for _, _, r in dots], y=[_name(g) for g, _, _ in dots], mode="markers", name="other settings",
            marker={"color": colour(1), "size": 8, "opacity": 0.35},
            customdata=[[setting.replace("|", ", "), interval(r.low, r.high)] for _, setting, r in dots],
            hovertemplate="%{customdata[0]}: %{x:.3f} nats %{customdata[1]}<extra></extra>",
        ),
        go.Scatter(
            x=[main[g].estimate for g in shown], y=[_name(g) for g in shown], mode="markers", name="main settings",
            marker={"color": colour(0), "size": 12, "symbol": "diamond"},
            error_x=_errors([main[g] for g in shown]),
            hovertemplate="main settings: %{x:.3f} nats<extra></extra>",
        ),
    ]  # fmt: skip
    layout = {
        "height": 140 + 56 * len(shown), "yaxis": {"autorange": "reversed", "type": "category"},
        "xaxis": {"title": {"text": "smoothed KL divergence, nats"}, "rangemode": "tozero"},
    }  # fmt: skip
    ways = len(dots) // len(shown)
    caption = (
        f"KL divergence from the posts by {count(ways)} other ways to compute it (dots; number of clusters, seed, "
        f"size of the sample) and by the main settings (diamond, with its bootstrap interval), in nats; n = "
        f"{count(main[shown[0]].n)} {main[shown[0]].unit}. {_describe(data)}"
    )
    return figure("fig-grid", traces, layout, caption)


def findings(data: ReportData) -> list[Finding]:
    """Return how often another way to compute the divergence ranks the references of the posts otherwise."""
    changes = data.found("ranking_changes", METRIC)
    return [_finding(changes[p]) for p in data.of_role("posts") if p in changes]


def _finding(row: Result) -> Finding:
    holds = "holds" if (row.high or 0.0) < 0.5 else "is not safe"
    text = (
        f"The ranking of references from {row.group} {holds} under other settings: it changes in {_share(row)} of them."
    )
    return Finding(text, f"n = {count(row.n)} {row.unit}; {row.method}.")


def _describe(data: ReportData) -> str:
    changes = data.found("ranking_changes", METRIC)
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


def _name(group: str) -> str:
    return label(group.replace("|", " to "))


def _order_by_corpus(data: ReportData, rows: dict[str, Result]) -> list[Result]:
    return [rows[c.name] for c in data.corpora if c.name in rows]


SECTION = Section("robustness", "Robustness", context, findings)
