"""The section on safety: what is known of the images, and which are hidden on this page."""

from __future__ import annotations

import plotly.graph_objects as go

from twigma_spark.report.data import Picture, ReportData, Safety
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label, ridge
from twigma_spark.report.numbers import WILSON, count, percent, percent_interval, wilson
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result


def context(data: ReportData) -> dict[str, object]:
    """Return one row a corpus with its share above the threshold, and whether a model has scored anything."""
    return {
        "rows": [(s, wilson(s.above, s.scored)) for s in data.safety],
        "scored": sum(s.scored for s in data.safety),
        "hidden": sum(1 for p in shown(data) if p.hidden_because(data.nsfw_threshold)),
        "pictures": len(shown(data)),
        "charts": [chart for chart in (distributions(data), thresholds(data)) if chart],
        "clusters": _by_cluster(data),
    }


def _limits(data: ReportData) -> list[float]:
    """Return the thresholds that shares were counted at."""
    return sorted({float(r.labels["threshold"]) for r in data.select("nsfw", "share_above") if "threshold" in r.labels})


def distributions(data: ReportData) -> Figure | None:
    """Return the distribution of the scores of each corpus, one ridge a corpus; None where none is scored."""
    shares = {c.name: data.by_label("nsfw", "share_between", "score", corpus=c.name) for c in data.corpora}
    known = {name: sorted(bins.items(), key=lambda bin: float(bin[0])) for name, bins in shares.items() if bins}
    if not known:
        return None
    traces = [
        trace for place, (name, bins) in enumerate(known.items()) for trace in _ridge(name, bins, place, len(known))
    ]
    layout = {
        "height": 130 + 70 * len(known),
        "showlegend": False,
        "xaxis": {"title": {"text": "NSFW score"}, "range": [0, 1]},
        "yaxis": {
            "tickvals": list(range(len(known))), "ticktext": [label(name) for name in reversed(known)],
            "showgrid": False, "zeroline": False,
        },
    }  # fmt: skip
    sizes = ", ".join(f"{name} {count(bins[0][1].n)}" for name, bins in known.items())
    caption = (
        "Distribution of the NSFW scores of each corpus, in bins of 0.05. The height is the root of the share, so that "
        f"few images with high scores are seen beside many with low ones. n images: {sizes}. Point at a bin for its "
        "share and interval."
    )
    return figure("fig-nsfw-scores", traces, layout, caption)


def _ridge(name: str, bins: list[tuple[str, Result]], place: int, many: int) -> list[go.Scatter]:
    """Return the ridge of a corpus, that of the first corpus on top."""
    texts = [
        [f"{float(low):.2f} to {float(low) + 0.05:.2f}", percent(r.estimate), percent_interval(r.low, r.high)]
        for low, r in bins
    ]
    return ridge(
        [float(low) + 0.025 for low, _ in bins],
        many - 1 - place,
        [0.85 * (r.estimate or 0.0) ** 0.5 for _, r in bins],
        name=label(name),
        line={"color": colour(place), "width": 1.6},
        customdata=texts,
        hovertemplate="%{customdata[0]}: %{customdata[1]} %{customdata[2]}",
    )


def thresholds(data: ReportData) -> Figure | None:
    """Return points with intervals: the share of each corpus above each threshold; None where none is scored."""
    limits = _limits(data)
    shares = [(limit, data.by_label("nsfw", "share_above", "corpus", threshold=limit)) for limit in limits]
    names = [c.name for c in data.corpora if any(c.name in rows for _, rows in shares)]
    if not names:
        return None
    rows = {name: [(limit, r[name]) for limit, r in shares if name in r] for name in names}
    traces = [_points(name, i, rows[name]) for i, name in enumerate(names)]
    layout = {
        "height": 340,
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of the scored images"}},
        "xaxis": {"tickvals": limits, "title": {"text": "NSFW score above"}, "showgrid": False},
    }
    first = shares[0][1]
    sizes = ", ".join(f"{name} {count(first[name].n)}" for name in names if name in first)
    top = max((n for n in names if n in first), key=lambda n: first[n].estimate or 0)
    caption = (
        f"Share of the scored images of each corpus above each threshold, with 95% intervals clustered by author, "
        f"post, prompt or artist. n images: {sizes}. Highest at {limits[0]:g}: {top}, {percent(first[top].estimate)}."
    )
    return figure("fig-nsfw", traces, layout, caption)


def _points(name: str, index: int, results: list[tuple[float, Result]]) -> go.Scatter:
    shares = [(limit, r, r.estimate or 0.0) for limit, r in results]
    return go.Scatter(
        x=[limit + 0.006 * (index - 1) for limit, _, _ in shares],
        y=[value for _, _, value in shares],
        name=label(name),
        mode="lines+markers",
        line={"color": colour(index), "width": 1.4},
        error_y={"type": "data", **error_bars([r for _, r, _ in shares]), "color": colour(index)},
        customdata=[[limit, percent_interval(r.low, r.high)] for limit, r, _ in shares],
        hovertemplate="above %{customdata[0]}: %{y:.1%} %{customdata[1]}",
    )


def _by_cluster(data: ReportData) -> list[tuple[str, Result]]:
    """Return the share above the report's threshold, or the nearest one, in each cluster of the posts."""
    limits = _limits(data)
    if not limits:
        return []
    limit = min(limits, key=lambda value: abs(value - data.nsfw_threshold))
    rows = [r for r in data.select("nsfw", "share_above", threshold=limit) if "cluster" in r.labels]
    named = [(f"{r.labels['corpus']}, cluster {r.labels['cluster']}", r) for r in rows]
    return sorted(named, key=lambda each: -(each[1].estimate or 0))


def shown(data: ReportData) -> list[Picture]:
    """Return the pictures on the page."""
    in_pairs = [picture for pair in data.pairs for picture in (pair.post, pair.match)]
    return [picture for theme in data.themes for picture in theme.pictures] + in_pairs


def findings(data: ReportData) -> list[Finding]:
    """Return the share of the posts above the threshold, or that no model has looked."""
    if data.safety and not any(s.scored for s in data.safety):
        return [
            Finding(
                "No NSFW model has looked at the images: those without a flag of their own are hidden here.",
                "Set models.scores.nsfw in the configuration, with the file of a head or an ONNX classifier.",
            )
        ]
    posts = data.of_role("posts")
    return [f for s in data.safety if s.corpus in posts and (f := _above(s, data.nsfw_threshold))]


def _above(safety: Safety, threshold: float) -> Finding | None:
    share = wilson(safety.above, safety.scored)
    if share is None:
        return None
    return Finding(
        f"{share} of the images of {safety.corpus} score above {threshold:g} for NSFW.",
        f"n = {count(safety.scored)} scored images of {count(safety.images)}; {WILSON}; "
        "the model's errors are not part of the interval.",
    )


SECTION = ReportSection("safety", "Safety", context, findings)
