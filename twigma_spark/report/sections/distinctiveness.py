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
DIFFERENCES = "distinctiveness_difference"
# The measure by which references are compared: it is always finite.
COMPARED = "kl_kt"
METRICS = {
    "kl": "KL divergence",
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
    return {
        "charts": charts,
        "rows": rows,
        "others": others,
        "infinite": infinite,
        "differences": _sort_by_corpus(data.select(DIFFERENCES, COMPARED), data),
        "same": _sort_by_corpus(data.select(ANALYSIS, "p_same"), data),
    }


def matrix(data: ReportData, metric: str) -> Figure:
    """Return a heat map of D(P ‖ Q), P down and Q across: posts, generated, natural, art."""
    rows, spread = data.select(ANALYSIS, metric), _by_pair(data.select("grid_spread", metric))
    by_pair = _by_pair(rows)
    names = [c.name for c in data.corpora if any(c.name in pair for pair in by_pair)]
    cells = {(p, q): by_pair.get((p, q)) for p in names for q in names}
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
    """Return, for each corpus of posts, which reference is nearest; no claim where that is not certain."""
    return [f for posts in data.of_role("posts") if (f := _nearest(data, posts))]


def _nearest(data: ReportData, posts: str) -> Finding | None:
    references = [c.name for c in data.corpora if c.role != "posts"]
    divergences = (data.get(ANALYSIS, COMPARED, p=posts, q=q) for q in references)
    rows = sorted((r for r in divergences if r and r.estimate is not None), key=lambda r: (r.estimate or 0.0, r.key))
    if not rows:
        return None
    first, basis = rows[0], _basis(rows[0])
    if len(rows) == 1:
        alike = _alike(data, posts, first)
        return Finding(
            f"From {posts} to {_reference(first)} the KL divergence is {_value(first, ' nats')}{alike}.", basis
        )
    gaps = {_reference(r): _gap(data, posts, first, r) for r in rows[1:]}
    unsure = [r for r in rows[1:] if not _is_above_0(gaps[_reference(r)])]
    if unsure:
        listed = "; ".join(_beyond(r, gaps[_reference(r)]) for r in unsure)
        least = f"{_reference(first)} (KL {_value(first, ' nats')}) is the least"
        return Finding(f"Which reference is nearest to {posts} cannot be decided: {least}, but {listed}.", basis)
    second, last = rows[1], rows[-1]
    nearest = f"{_reference(first)} (KL {_value(first, ' nats')}{_alike(data, posts, first)})"
    text = f"Images of {posts} are nearest to {nearest}, before {_beyond(second, gaps[_reference(second)])}"
    if len(rows) > 2 and all(_is_above_0(_gap(data, posts, r, last)) for r in rows[:-1]):
        text += f", and farthest from {_reference(last)} ({_value(last)})"
    return Finding(text + ".", basis)


def _gap(data: ReportData, posts: str, near: Result, far: Result) -> tuple[float, float, float] | None:
    """Return how much farther one reference is than another, with its interval; None where it is not known."""
    q, versus = _reference(far), _reference(near)
    one = data.get(DIFFERENCES, COMPARED, p=posts, q=q, versus=versus)
    if one is not None and one.estimate is not None and one.low is not None and one.high is not None:
        return one.estimate, one.low, one.high
    other = data.get(DIFFERENCES, COMPARED, p=posts, q=versus, versus=q)
    if other is None or other.estimate is None or other.low is None or other.high is None:
        return None
    return -other.estimate, -other.high, -other.low


def _is_above_0(gap: tuple[float, float, float] | None) -> bool:
    return gap is not None and gap[1] > 0


def _beyond(row: Result, gap: tuple[float, float, float] | None) -> str:
    """Return a reference and how much farther it is, in words."""
    if gap is None:
        return f"how much farther {_reference(row)} is is not known"
    return f"{_reference(row)} ({number(gap[0])} more {interval(gap[1], gap[2])})"


def _alike(data: ReportData, posts: str, row: Result) -> str:
    """Return a remark where the two corpora may be draws of one."""
    q = _reference(row)
    same = data.get(ANALYSIS, "p_same", p=posts, q=q) or data.get(ANALYSIS, "p_same", p=q, q=posts)
    if same is None or same.estimate is None or same.estimate < 0.05:
        return ""
    return f"; two draws of one corpus differ as much, p = {number(same.estimate)}"


def _sort_by_corpus(rows: Sequence[Result], data: ReportData) -> list[Result]:
    return sorted(rows, key=lambda r: data.corpus_order(r.labels["p"], r.labels["q"]))


def _by_pair(rows: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {(r.labels["p"], r.labels["q"]): r for r in rows}


def _infinite(row: Result) -> bool:
    return row.estimate is not None and math.isinf(row.estimate)


def _reference(row: Result) -> str:
    return row.labels["q"]


def _value(row: Result, unit: str = "") -> str:
    return f"{number(row.estimate)}{unit} {interval(row.low, row.high)}"


def _basis(row: Result) -> str:
    direction = f"{METRICS[COMPARED]}, direction posts ‖ reference"
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
