"""The section on neighbours: how like the posts are to reference images, and the closest pairs."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from twigma_spark.report.data import BestMatches, ReportData
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import WILSON, Z95, count, wilson
from twigma_spark.report.section import Finding, ReportSection


def context(data: ReportData) -> dict[str, object]:
    """Return the histogram, one row a reference, and the pairs by reference."""
    references = dict.fromkeys([m.reference for m in data.matches] + [p.reference for p in data.pairs])
    return {
        "charts": [histogram(data)] if data.matches else [],
        "rows": [(m, mean_interval(m), wilson(m.nearest, m.images)) for m in data.matches],
        "pairs": [(r, [p for p in data.pairs if p.reference == r]) for r in references],
        "recall": [r for r in data.results if r.analysis == "recall"],
    }


def mean_interval(matches: BestMatches) -> tuple[float, float]:
    """Return the 95% interval of the mean similarity, by the normal approximation."""
    half = Z95 * matches.deviation / math.sqrt(max(1, matches.images))
    return matches.mean - half, matches.mean + half


def histogram(data: ReportData) -> Figure:
    """Return a stepped line a reference: the share of the posts' images at each best similarity."""
    order = [c.name for c in data.corpora]
    traces = [_steps(m, order.index(m.reference) if m.reference in order else len(order)) for m in data.matches]
    layout = {
        "height": 380,
        "hovermode": "x",
        "xaxis": {"title": {"text": "cosine similarity to the nearest reference image"}, "showgrid": False},
        "yaxis": {
            "title": {"text": "share of the posts' images"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
    }
    sizes = ", ".join(f"{m.reference} {count(m.images)}" for m in data.matches)
    caption = f"How like each of the posts' images is to its nearest image of a reference. n images: {sizes}."
    return figure("fig-similarity", traces, layout, caption)


def _steps(matches: BestMatches, index: int) -> go.Scatter:
    low, width = min(e for e, _ in matches.bins), matches.width
    shares = {round((edge - low) / width): n / matches.images for edge, n in matches.bins}
    places = range(-1, max(shares) + 2)
    return go.Scatter(
        x=[round(low + (place + 0.5) * width, 6) for place in places],
        y=[shares.get(place, 0.0) for place in places],
        name=label(matches.reference),
        mode="lines",
        fill="tozeroy",
        line={"color": colour(index), "width": 2.2, "shape": "hvh"},
        fillcolor=colour(index) + "22",
        hovertemplate="%{y:.1%} near %{x:.2f}",
    )


def findings(data: ReportData) -> list[Finding]:
    """Return in which reference the nearest image is most often; no claim where intervals overlap."""
    ranked = sorted(data.matches, key=lambda m: (-m.nearest, m.reference))
    shares = [wilson(m.nearest, m.images) for m in ranked[:2]]
    if len(shares) < 2 or not (first := shares[0]) or not (second := shares[1]) or first.low <= second.high:
        return []
    text = (
        f"The reference image most like an image of the posts is most often in {ranked[0].reference} "
        f"({first} of the images), next in {ranked[1].reference} ({second})."
    )
    basis = (
        f"n = {count(first.n)} images of the posts; {WILSON}; "
        "cosine similarity. A larger reference has more chances to hold the nearest image."
    )
    return [Finding(text, basis)]


SECTION = ReportSection("neighbours", "Nearest images", context, findings)
