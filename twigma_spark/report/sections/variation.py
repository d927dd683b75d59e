"""The section on variation: how far apart the images of a corpus, an artist or a prompt are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, figure, label, ridge
from twigma_spark.report.numbers import count, interval, number, percent, percent_interval
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

ANALYSIS = "variation"
COLUMNS = {
    "pair_distance": "Mean distance", "iev": "IEV", "pmv": "PMV", "vendi": "Vendi score", "entropy": "Entropy, nats",
}  # fmt: skip
SHARES = {"share_explained": "share of the sum of squares", "variance_component": "variance component"}


@dataclass(frozen=True)
class VariationRow:
    """One corpus, or the groups within it: measures by name, None where there is none, and the Monte-Carlo error."""

    name: str
    cells: tuple[Result | None, ...]
    error: Result | None


def context(data: ReportData) -> dict[str, object]:
    """Return the ridgelines, the table of all measures, and the shares that groups explain."""
    distances = groups(data, ANALYSIS)
    table = [_table_row(data, row) for row in distances]
    explained = [(words, r) for m, words in SHARES.items() for r in _by_corpus(data, data.select(ANALYSIS, m))]
    rows = [r for row in table for r in row.cells if r]
    return {
        "chart": ridgelines(data, ANALYSIS, distances, "fig-ridges", _describe(data)), "table": table,
        "columns": COLUMNS.values(), "explained": explained, "rows": [*rows, *(r for _, r in explained)],
    }  # fmt: skip


def _table_row(data: ReportData, distance: Result) -> VariationRow:
    cells = tuple(data.get(ANALYSIS, metric, **distance.labels) for metric in COLUMNS)
    return VariationRow(distance.label_text, cells, data.get(ANALYSIS, "monte_carlo_error", **distance.labels))


def groups(data: ReportData, analysis: str) -> list[Result]:
    """Return the mean distances in the order of corpora, each corpus before the groups within it."""
    return _by_corpus(data, data.select(analysis, "pair_distance"))


def ridgelines(data: ReportData, analysis: str, distances: Sequence[Result], name: str, seen: str) -> Figure | None:
    """Return the distribution of distances, one ridge a group, with its mean and interval; None without any."""
    known = [(mean, _curve(data, analysis, mean)) for mean in distances if mean.estimate is not None]
    curves = [(mean, curve) for mean, curve in known if curve]
    if not curves:
        return None
    top = max(r.estimate or 0.0 for _, curve in curves for _, r in curve)
    paints = {c.name: colour(i) for i, c in enumerate(data.corpora)}
    traces: list[go.Scatter] = []
    for place, (mean, curve) in enumerate(curves):
        base = float(len(curves) - 1 - place)
        paint = paints.get(mean.labels.get("corpus", "")) or colour(len(paints) + place)
        traces += [*_ridge(mean.label_text, curve, base, 0.85 / top, paint), _mean(mean, base)]
    ticks = [float(len(curves) - 1 - i) for i in range(len(curves))]
    layout = {
        "height": 120 + 62 * len(curves), "showlegend": False,
        "xaxis": {"title": {"text": "Euclidean distance of two unit vectors"}, "rangemode": "tozero"},
        "yaxis": {"tickvals": ticks, "ticktext": [label(mean.label_text, 34) for mean, _ in curves], "showgrid": True},
    }  # fmt: skip
    sizes = "; ".join(f"{mean.label_text} {count(mean.n)} {mean.unit}" for mean, _ in curves)
    caption = f"Distances of pairs; the dot is the mean with its bootstrap interval. n: {sizes}. {seen}"
    return figure(name, traces, layout, caption)


def _curve(data: ReportData, analysis: str, mean: Result) -> list[tuple[float, Result]]:
    """Return (lower edge, share) of the bins of the distances behind a mean, in order."""
    bins = data.by_label(analysis, "pair_share", "distance", **mean.labels)
    return sorted(((float(edge), share) for edge, share in bins.items()), key=lambda pair: pair[0])


def _ridge(name: str, curve: list[tuple[float, Result]], base: float, scale: float, paint: str) -> list[go.Scatter]:
    """Return a base line and a filled curve above it; bins without pairs are 0."""
    width = 0.05
    first, last = curve[0][0], curve[-1][0]
    shares = {round(edge / width): r for edge, r in curve}
    places = range(round(first / width) - 1, round(last / width) + 2)
    x = [round((place + 0.5) * width, 4) for place in places]
    value = [(shares[p].estimate or 0.0) if p in shares else 0.0 for p in places]
    labels = [f"{percent(v)} {_ends(shares.get(p))}" for p, v in zip(places, value, strict=True)]
    return ridge(
        x, base, [scale * v for v in value], name=label(name), customdata=labels,
        line={"color": paint, "width": 1.6, "shape": "spline", "smoothing": 0.5},
        hovertemplate="%{x:.2f} ± 0.025: %{customdata} of the pairs",
    )  # fmt: skip


def _mean(row: Result, base: float) -> go.Scatter:
    above = 0.0 if row.high is None else max(0.0, row.high - (row.estimate or 0.0))
    below = 0.0 if row.low is None else max(0.0, (row.estimate or 0.0) - row.low)
    bars = {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], "width": 5, "thickness": 2}
    return go.Scatter(
        x=[row.estimate], y=[base], mode="markers", marker={"size": 9, "color": "#7f8b99"}, error_x=bars,
        hovertemplate=f"mean {number(row.estimate)} {interval(row.low, row.high)}<extra></extra>",
    )  # fmt: skip


def _ends(row: Result | None) -> str:
    return "" if row is None else percent_interval(row.low, row.high)


def findings(data: ReportData) -> list[Finding]:
    """Return which corpus varies most, and how much of the variation prompts explain."""
    distances = data.by_label(ANALYSIS, "pair_distance", "corpus")
    ranked = sorted((r for r in distances.values() if r.estimate is not None), key=_estimate)
    claims = []
    if len(ranked) > 1 and apart(ranked[0], ranked[1]):
        least, rest = ranked[0], "; ".join(f"{r.labels['corpus']} {_value(r)}" for r in ranked[1:])
        text = f"Images of {least.labels['corpus']} are most alike: {_value(least)} apart on average ({rest})."
        claims.append(Finding(text, _basis(least)))
    elif len(ranked) > 1 and apart(ranked[-2], ranked[-1]):
        most, rest = ranked[-1], "; ".join(f"{r.labels['corpus']} {_value(r)}" for r in ranked[:-1])
        claims.append(
            Finding(
                f"Images of {most.labels['corpus']} vary most: {_value(most)} apart on average ({rest}).", _basis(most)
            )
        )
    return claims + [
        _explained(r) for r in data.select(ANALYSIS, "variance_component", within="prompts") if r.estimate is not None
    ]


def _explained(row: Result) -> Finding:
    ends = "" if row.low is None else f" [{percent(row.low)}, {percent(row.high)}]"
    text = f"The prompt explains {percent(row.estimate)}{ends} of the variation of {row.labels['corpus']}."
    return Finding(text, _basis(row))


def _describe(data: ReportData) -> str:
    """Return how the distance within groups compares with that of their corpus."""
    sentences = []
    for row in data.select(ANALYSIS, "pair_distance"):
        whole = data.get(ANALYSIS, "pair_distance", corpus=row.labels["corpus"])
        if "within" in row.labels and row.estimate is not None and whole and whole.estimate:
            share = percent(row.estimate / whole.estimate)
            sentences.append(f"{row.label_text}: {share} of the corpus's mean distance")
    return f"{'; '.join(sentences)}." if sentences else ""


def _by_corpus(data: ReportData, rows: Sequence[Result]) -> list[Result]:
    return sorted(rows, key=lambda r: (data.corpus_order(r.labels.get("corpus", "")), len(r.labels), r.key))


def apart(one: Result, other: Result) -> bool:
    """Return whether the first lies below the other, intervals and all."""
    return one.high is not None and other.low is not None and one.high < other.low


def _estimate(row: Result) -> float:
    return row.estimate or 0.0


def _value(row: Result) -> str:
    return f"{number(row.estimate)} {interval(row.low, row.high)}".strip()


def _basis(row: Result) -> str:
    return f"n = {count(row.n)} {row.unit}; {row.method}."


SECTION = ReportSection("variation", "How varied", context, findings)
