"""The joint model of what posts got: its curves, and the change with each term."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label
from twigma_spark.report.numbers import count, number, percent_ends, signed_percent
from twigma_spark.results import Result

ANALYSIS = "likes_joint"
TERMS = ("log followers", "log age", "month", "NSFW score", "theme")
# Panels of a row, and how far a panel goes beyond twice its estimates: a wide interval must not make them flat.
COLUMNS, MOST = 3, 100.0


def context(data: ReportData) -> dict[str, object]:
    """Return the chart of the curves, the table of the changes, and why a model is missing."""
    rows = [r for r in data.results if r.analysis == ANALYSIS]
    known = [r for r in rows if r.estimate is not None]
    outcomes = list(dict.fromkeys(r.labels["outcome"] for r in known))
    terms = sorted({r.labels["term"] for r in known}, key=_order)
    return {
        "joint_charts": [_curves(data)] if data.select(ANALYSIS, "curve") else [],
        "joint_outcomes": outcomes,
        "joint_rows": [(term, [_cell(data, outcome, term) for outcome in outcomes]) for term in terms],
        "joint_absent": [(r.labels["outcome"], r.labels.get("term"), r.method) for r in rows if r.estimate is None],
        "joint_n": next(iter(known), None),
    }


def _order(term: str) -> tuple[int, str]:
    """Return the place of a term: similarities, then what is known of authors, posts and images, then hashtags."""
    return (len(TERMS) if term.startswith("#") else TERMS.index(term) if term in TERMS else -1), term


def _cell(data: ReportData, outcome: str, term: str) -> str:
    """Return the change with its interval, and the test of the term."""
    change, p = (data.get(ANALYSIS, metric, outcome=outcome, term=term) for metric in ("change", "p_value"))
    words = []
    if change and change.estimate is not None:
        words.append(f"{signed_percent(change.estimate)} {percent_ends(change.low, change.high)}")
    if p and p.estimate is not None:
        words.append(f"p {'< 0.001' if p.estimate < 0.001 else '= ' + number(p.estimate)}")
    return ", ".join(words) or "–"


def _curves(data: ReportData) -> Figure:
    """Return a panel a number: the percent change of the likes, with its intervals."""
    curves = data.select(ANALYSIS, "curve")
    terms = sorted({r.labels["term"] for r in curves}, key=_order)
    lines = -(-len(terms) // COLUMNS)
    layout: dict[str, Any] = {"height": 60 + 240 * lines, "annotations": []}
    traces: list[go.Scatter] = []
    for place, term in enumerate(terms):
        row, column = divmod(place, COLUMNS)
        x, y = _domain(column, COLUMNS, 0.07), _domain(lines - 1 - row, lines, 0.3 / lines)
        name = "" if place == 0 else str(place + 1)
        here = [r for r in curves if r.labels["term"] == term]
        layout[f"xaxis{name}"] = {"domain": x, "anchor": f"y{name}", "showgrid": False}
        layout[f"yaxis{name}"] = {"domain": y, "anchor": f"x{name}", "ticksuffix": "%", "range": _range(here)}
        layout["annotations"].append(
            {"text": label(term), "x": sum(x) / 2, "y": y[1], "yanchor": "bottom", "xref": "paper", "yref": "paper",
             "showarrow": False}
        )  # fmt: skip
        traces.append(_curve(here, place, {"xaxis": f"x{name}", "yaxis": f"y{name}"}))
    caption = (
        "What goes with each number while all others stay: percent change of the expected outcome against the "
        "number's 10th percentile, up to its 90th, with 95% intervals by score tests. Where the curve is of likes, the "
        f"table has the change of the others. n = {count(curves[0].n)} images."
    )
    return figure("fig-likes-joint", traces, layout, caption)


def _domain(place: int, many: int, gap: float) -> list[float]:
    """Return where one of several panels lies, from 0 to 1, with a gap between them."""
    size = (1 - gap * (many - 1)) / many
    return [place * (size + gap), place * (size + gap) + size]


def _range(rows: list[Result]) -> list[float]:
    """Return an axis that holds the estimates, and their intervals as far as they are not very wide."""
    low = min([0.0, *(r.low for r in rows if r.low is not None)])
    most = max([0.0, *(r.estimate for r in rows if r.estimate is not None)])
    top = max([most, *(min(r.high, 2 * most + MOST) for r in rows if r.high is not None)])
    return [low - 0.05 * (top - low), top + 0.05 * (top - low)]


def _curve(rows: list[Result], index: int, axes: dict[str, Any]) -> go.Scatter:
    """Return a line from the percentile that the changes are against, with the interval of each point."""
    ordered = sorted(rows, key=lambda r: float(r.labels["at"]))
    bars = error_bars(ordered)
    return go.Scatter(
        x=[float(ordered[0].labels["against"]), *(float(r.labels["at"]) for r in ordered)],
        y=[0.0, *(r.estimate for r in ordered)],
        mode="lines+markers",
        showlegend=False,
        line={"color": colour(index), "width": 2.2},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [0.0, *bars["array"]],
            "arrayminus": [0.0, *bars["arrayminus"]],
            "color": colour(index),
            "thickness": 1.4,
        },
        customdata=["", *(percent_ends(r.low, r.high) for r in ordered)],
        hovertemplate="at %{x:.3g}: %{y:+.1f}% %{customdata}<extra></extra>",
        **axes,
    )
