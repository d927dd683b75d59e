"""The section on distinctiveness: the divergence between every two corpora."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, figure, label
from twigma_spark.report.numbers import count, interval, number
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

ANALYSIS = "distinctiveness"
METRICS = {
    "kl": "KL divergence, plug-in",
    "kl_kt": "KL divergence, smoothed (Krichevsky–Trofimov)",
    "js": "Jensen–Shannon divergence",
}
# Beside the divergences in nats; each with the unit that it has.
OTHERS = {
    "frontier_integral": "Frontier integral, 0 to 1",
    "mauve": "MAUVE score, 1 is alike",
    "knn_kl": "KL by nearest neighbours, nats",
    "mmd": "Squared MMD",
    "cmmd": "CMMD",
    "precision": "Precision: P inside Q",
    "recall": "Recall: Q inside P",
    "density": "Density of P in Q",
    "coverage": "Coverage of Q by P",
}


def context(data: ReportData) -> dict[str, object]:
    """Return the heat maps, the values of all measures, and which plug-in values are infinite."""
    tables = {metric: data.select(ANALYSIS, metric) for metric in METRICS}
    rows = [(f"{METRICS[metric]}, nats", r) for metric, table in tables.items() for r in _sort_by_corpus(table, data)]
    others = [
        (words, r) for metric, words in OTHERS.items() for r in _sort_by_corpus(data.select(ANALYSIS, metric), data)
    ]
    charts = [matrix(data, metric) for metric in ("kl", "kl_kt") if tables[metric]]
    infinite = [f"{r.labels['p']} ‖ {r.labels['q']}" for r in _sort_by_corpus(tables["kl"], data) if _infinite(r)]
    return {"charts": charts, "rows": rows, "others": others, "infinite": infinite}


def matrix(data: ReportData, metric: str) -> Figure:
    """Return a heat map of D(P ‖ Q), P down and Q across: posts, generated, natural, art."""
    rows, spread = data.select(ANALYSIS, metric), _by_pair(data.select("grid_spread", metric))
    found = _by_pair(rows)
    names = [c.name for c in data.corpora if any(c.name in pair for pair in found)]
    cells = {(p, q): found.get((p, q)) for p in names for q in names}
    finite = [r.estimate for r in rows if r.estimate is not None and not _infinite(r)]
    top = max(finite, default=0.0) or 1.0
    trace = go.Heatmap(
        x=[label(n) for n in names],
        y=[label(n) for n in names],
        z=[[_shade(cells[p, q], p == q, top) for q in names] for p in names],
        text=[[_cell(cells[p, q], p == q, spread.get((p, q))) for q in names] for p in names],
        customdata=[[_hover(cells[p, q]) for q in names] for p in names],
        texttemplate="%{text}",
        hovertemplate="<b>D(%{y} ‖ %{x})</b><br>%{customdata}<extra></extra>",
        zmin=0.0, zmax=1.25 * top, showscale=False, xgap=3, ygap=3, textfont={"size": 14},
    )  # fmt: skip
    height = 110 + 62 * max(2, len(names))
    axes = {"title": {"text": "to Q"}, "side": "bottom", "showgrid": False, "type": "category"}
    layout = {
        "height": height,
        "xaxis": axes,
        "yaxis": {**axes, "title": {"text": "from P"}, "autorange": "reversed", "side": "left"},
    }
    return figure(f"fig-{metric.replace('_', '-')}", [trace], layout, _caption(metric, rows, list(spread.values())))


def findings(data: ReportData) -> list[Finding]:
    """Return, for each corpus of posts, which reference is nearest; no claim where intervals overlap."""
    return [f for posts in data.of_role("posts") if (f := _nearest(data, posts))]


def _nearest(data: ReportData, posts: str) -> Finding | None:
    metric, rows = _comparable(data, posts)
    if not rows:
        return None
    first, basis = rows[0], _basis(metric, rows[0])
    if len(rows) == 1:
        return Finding(f"From {posts} to {_reference(first)} the KL divergence is {_value(first, ' nats')}.", basis)
    if any(r.low is None or r.high is None for r in rows):
        return Finding(f"Which reference is nearest to {posts} cannot be decided: the values have no intervals.", basis)
    tied = [r for r in rows if _low(r) <= _high(first)]
    if len(tied) > 1:
        listed = "; ".join(f"{_reference(r)} {_value(r)}" for r in tied)
        why = f"the intervals overlap (KL in nats: {listed})"
        return Finding(f"Which reference is nearest to {posts} cannot be decided: {why}.", basis)
    second, last = rows[1], rows[-1]
    text = (
        f"Images of {posts} are nearest to {_reference(first)} (KL {_value(first, ' nats')}), "
        f"before {_reference(second)} ({_value(second)})"
    )
    if len(rows) > 2 and all(_high(r) < _low(last) for r in rows[:-1]):
        text += f", and farthest from {_reference(last)} ({_value(last)})"
    return Finding(text + ".", basis)


def _comparable(data: ReportData, posts: str) -> tuple[str, list[Result]]:
    """Return one measure for all references, nearest first: smoothed KL where plug-in values reach ∞."""
    references = [c.name for c in data.corpora if c.role != "posts"]
    for metric in ("kl", "kl_kt"):
        rows = [r for q in references if (r := data.get(ANALYSIS, metric, p=posts, q=q)) and r.estimate is not None]
        if rows and not any(_infinite(r) or r.high == math.inf for r in rows):
            return metric, sorted(rows, key=lambda r: (r.estimate or 0.0, r.key))
    return "kl", []


def _sort_by_corpus(rows: Sequence[Result], data: ReportData) -> list[Result]:
    return sorted(rows, key=lambda r: data.corpus_order(r.labels["p"], r.labels["q"]))


def _by_pair(rows: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {(r.labels["p"], r.labels["q"]): r for r in rows}


def _infinite(row: Result) -> bool:
    return row.estimate is not None and math.isinf(row.estimate)


def _low(row: Result) -> float:
    return math.inf if row.low is None else row.low


def _high(row: Result) -> float:
    return math.inf if row.high is None else row.high


def _reference(row: Result) -> str:
    return row.labels["q"]


def _value(row: Result, unit: str = "") -> str:
    return f"{number(row.estimate)}{unit} {interval(row.low, row.high)}"


def _basis(metric: str, row: Result) -> str:
    direction = f"{METRICS[metric]}, direction posts ‖ reference"
    return f"{direction}; n = {count(row.n)} {row.unit or 'images'}; {row.method or 'method not stated'}."


def _shade(row: Result | None, same: bool, top: float) -> float | None:
    if row is None or row.estimate is None:
        return 0.0 if same else None
    return 1.25 * top if _infinite(row) else max(0.0, row.estimate)


def _cell(row: Result | None, same: bool, spread: Result | None) -> str:
    """Return the value, and below it the range over the grid where there is one."""
    value = number(row.estimate) if row else "0" if same else ""
    if spread is None:
        return value
    return f'{value}<br><span style="font-size:11px">{number(spread.low)} to {number(spread.high)}</span>'


def _hover(row: Result | None) -> str:
    if row is None:
        return "not computed"
    lines = [
        f"{number(row.estimate)} nats {interval(row.low, row.high)}",
        f"n = {count(row.n)} {label(row.unit or '')}",
    ]
    return "<br>".join([*lines, *([label(row.method, 90)] if row.method else [])])


def _caption(metric: str, rows: Sequence[Result], spread: Sequence[Result]) -> str:
    rule = "∞ marks pairs where P has images in a cluster in which Q has none. " if metric == "kl" else ""
    n = sorted({r.n for r in rows})
    sizes = f"n = {count(n[0])}" + (f" to {count(n[-1])}" if len(n) > 1 else "") if n else "n not stated"
    what = f"{METRICS[metric]} D(P ‖ Q) in nats, from row P to column Q; {sizes}"
    ways = max((r.n for r in spread), default=0)
    small = f"Small: least and greatest of {ways} other ways to compute it. " if ways else ""
    seen = _describe(rows)
    return f"{what}. {rule}{small}{seen}Point at a cell for its interval."


def _describe(rows: Sequence[Result]) -> str:
    """Return which pair is nearest, and which farthest where that is a number."""
    known = sorted((r.estimate, _arrow(r)) for r in rows if r.estimate is not None)
    if len(known) < 2 or math.isinf(known[0][0]):
        return ""
    far = "" if math.isinf(known[-1][0]) else f", the greatest from {known[-1][1]} ({number(known[-1][0])})"
    return f"The least is from {known[0][1]} ({number(known[0][0])}){far}. "


def _arrow(row: Result) -> str:
    return f"{row.labels['p']} to {row.labels['q']}"


SECTION = ReportSection("distinctiveness", "How distinct", context, findings)
