"""The section on variation: how far apart the images of a corpus, an artist or a prompt are."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData, Result
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import count, interval, number, percent
from twigma_spark.report.section import Finding, Section

ANALYSIS = "variation"
COLUMNS = {
    "pair_distance": "Mean distance", "iev": "IEV", "pmv": "PMV", "vendi": "Vendi score", "entropy": "Entropy, nats",
}  # fmt: skip
SHARES = {"share_explained": "share of the sum of squares", "variance_component": "variance component"}


@dataclass(frozen=True)
class Row:
    """One corpus, or the groups within it: measures by name, None where there is none, and the Monte-Carlo error."""

    name: str
    cells: tuple[Result | None, ...]
    error: Result | None


def context(data: ReportData) -> dict[str, object]:
    """Return the ridgelines, the table of all measures, and the shares that groups explain."""
    names = groups(data, ANALYSIS)
    errors = data.found(ANALYSIS, "monte_carlo_error")
    table = [Row(n, tuple(data.found(ANALYSIS, m).get(n) for m in COLUMNS), errors.get(n)) for n in names]
    explained = [(words, r) for m, words in SHARES.items() for r in _by_corpus(data, data.found(ANALYSIS, m))]
    rows = [r for row in table for r in row.cells if r]
    return {
        "chart": ridgelines(data, ANALYSIS, names, "fig-ridges", _describe(data)), "table": table,
        "columns": COLUMNS.values(), "explained": explained, "rows": [*rows, *(r for _, r in explained)],
    }  # fmt: skip


def groups(data: ReportData, analysis: str) -> list[str]:
    """Return what has a mean distance, in the order of corpora, each before the groups within it."""
    order = {c.name: i for i, c in enumerate(data.corpora)}
    found = data.found(analysis, "pair_distance")
    return sorted(found, key=lambda g: (order.get(g.split("|")[0], len(order)), g))


def ridgelines(data: ReportData, analysis: str, names: list[str], name: str, seen: str) -> Figure | None:
    """Return the distribution of distances, one ridge a group, with its mean and interval; None without any."""
    means, shares = data.found(analysis, "pair_distance"), data.found(analysis, "pair_share")
    curves = {n: curve for n in names if (curve := _curve(n, shares)) and means[n].estimate is not None}
    if not curves:
        return None
    top = max(r.estimate or 0.0 for curve in curves.values() for _, r in curve)
    paints = {c.name: colour(i) for i, c in enumerate(data.corpora)}
    traces: list[go.Scatter] = []
    for place, (group, curve) in enumerate(curves.items()):
        base = float(len(curves) - 1 - place)
        paint = paints.get(group.split("|")[0]) or colour(len(paints) + place)
        traces += [*_ridge(group, curve, base, 0.85 / top, paint), _mean(means[group], base)]
    ticks = [float(len(curves) - 1 - i) for i in range(len(curves))]
    layout = {
        "height": 120 + 62 * len(curves), "showlegend": False,
        "xaxis": {"title": {"text": "Euclidean distance of two unit vectors"}, "rangemode": "tozero"},
        "yaxis": {"tickvals": ticks, "ticktext": [f"{label(title(g), 34)}" for g in curves], "showgrid": True},
    }  # fmt: skip
    sizes = "; ".join(f"{title(g)} {count(means[g].n)} {means[g].unit}" for g in curves)
    caption = f"Distances of pairs; the dot is the mean with its bootstrap interval. n: {sizes}. {seen}"
    return figure(name, traces, layout, caption)


def title(group: str) -> str:
    """Return ``posts|within posts`` as "posts, within posts"."""
    return group.replace("|", ", ")


def _curve(group: str, shares: dict[str, Result]) -> list[tuple[float, Result]]:
    """Return (lower edge, share) of the bins of a group, in order."""
    bins = [(key.rpartition("|"), r) for key, r in shares.items()]
    return sorted(((float(edge), r) for (own, _, edge), r in bins if own == group), key=lambda pair: pair[0])


def _ridge(group: str, curve: list[tuple[float, Result]], base: float, scale: float, paint: str) -> list[go.Scatter]:
    """Return a base line and a filled curve above it; bins without pairs are 0."""
    width = 0.05
    first, last = curve[0][0], curve[-1][0]
    found = {round(edge / width): r for edge, r in curve}
    places = range(round(first / width) - 1, round(last / width) + 2)
    x = [round((place + 0.5) * width, 4) for place in places]
    value = [(found[p].estimate or 0.0) if p in found else 0.0 for p in places]
    labels = [f"{percent(v)} {_ends(found.get(p))}" for p, v in zip(places, value, strict=True)]
    return [
        go.Scatter(x=x, y=[base] * len(x), mode="lines", line={"width": 0}, hoverinfo="skip"),
        go.Scatter(
            x=x, y=[round(base + scale * v, 5) for v in value], mode="lines", fill="tonexty", name=label(title(group)),
            line={"color": paint, "width": 1.6, "shape": "spline", "smoothing": 0.5}, customdata=labels,
            hovertemplate="%{x:.2f} ± 0.025: %{customdata} of the pairs",
        ),
    ]  # fmt: skip


def _mean(row: Result, base: float) -> go.Scatter:
    above = 0.0 if row.high is None else max(0.0, row.high - (row.estimate or 0.0))
    below = 0.0 if row.low is None else max(0.0, (row.estimate or 0.0) - row.low)
    bars = {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], "width": 5, "thickness": 2}
    return go.Scatter(
        x=[row.estimate], y=[base], mode="markers", marker={"size": 9, "color": "#7f8b99"}, error_x=bars,
        hovertemplate=f"mean {number(row.estimate)} {interval(row.low, row.high)}<extra></extra>",
    )  # fmt: skip


def _ends(row: Result | None) -> str:
    return "" if row is None or row.low is None else f"[{percent(row.low)}, {percent(row.high)}]"


def findings(data: ReportData) -> list[Finding]:
    """Return which corpus varies most, and how much of the variation prompts explain."""
    found = data.found(ANALYSIS, "pair_distance")
    ranked = sorted((r for r in found.values() if r.estimate is not None and "|" not in r.group), key=_estimate)
    claims = []
    if len(ranked) > 1 and apart(ranked[0], ranked[1]):
        least, rest = ranked[0], "; ".join(f"{r.group} {_value(r)}" for r in ranked[1:])
        text = f"Images of {least.group} are most alike: {_value(least)} apart on average ({rest})."
        claims.append(Finding(text, _basis(least)))
    elif len(ranked) > 1 and apart(ranked[-2], ranked[-1]):
        most, rest = ranked[-1], "; ".join(f"{r.group} {_value(r)}" for r in ranked[:-1])
        claims.append(
            Finding(f"Images of {most.group} vary most: {_value(most)} apart on average ({rest}).", _basis(most))
        )
    return claims + [_explained(r) for r in data.found(ANALYSIS, "variance_component").values() if _of_prompts(r)]


def _explained(row: Result) -> Finding:
    ends = "" if row.low is None else f" [{percent(row.low)}, {percent(row.high)}]"
    text = f"The prompt explains {percent(row.estimate)}{ends} of the variation of {row.group.split('|')[0]}."
    return Finding(text, _basis(row))


def _of_prompts(row: Result) -> bool:
    return row.estimate is not None and row.group.endswith("|prompts")


def _describe(data: ReportData) -> str:
    """Return how the distance within groups compares with that of their corpus."""
    found = data.found(ANALYSIS, "pair_distance")
    sentences = []
    for group, row in found.items():
        whole = found.get(group.split("|")[0])
        if "|" in group and row.estimate is not None and whole and whole.estimate:
            sentences.append(f"{title(group)}: {percent(row.estimate / whole.estimate)} of the corpus's mean distance")
    return f"{'; '.join(sentences)}." if sentences else ""


def _by_corpus(data: ReportData, rows: dict[str, Result]) -> list[Result]:
    order = {c.name: i for i, c in enumerate(data.corpora)}
    return sorted(rows.values(), key=lambda r: (order.get(r.group.split("|")[0], len(order)), r.group))


def apart(one: Result, other: Result) -> bool:
    """Return whether the first lies below the other, intervals and all."""
    return one.high is not None and other.low is not None and one.high < other.low


def _estimate(row: Result) -> float:
    return row.estimate or 0.0


def _value(row: Result) -> str:
    return f"{number(row.estimate)} {interval(row.low, row.high)}".strip()


def _basis(row: Result) -> str:
    return f"n = {count(row.n)} {row.unit}; {row.method}."


SECTION = Section("variation", "How varied", context, findings)
