"""The section on duplicates: what was found of the known ones, by tier and by threshold."""

from __future__ import annotations

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, figure
from twigma_spark.report.section import ReportSection
from twigma_spark.results import Result

ANALYSIS = "duplicates"
TIERS = ("media", "bytes", "embedding", "near")


def context(data: ReportData) -> dict[str, object]:
    """Return both shares by tier, and the curve; only a sample world has them."""
    tiers = [(t, data.get(ANALYSIS, "precision", tier=t), data.get(ANALYSIS, "recall", tier=t)) for t in TIERS]
    rows = [row for row in tiers if row[1] or row[2]]
    found = _curves(data)
    searched = data.select(ANALYSIS, "recall_of_search")
    return {"rows": rows, "chart": chart(found) if found else None, "searched": searched}


def chart(curves: dict[str, list[tuple[int, Result, Result]]]) -> Figure:
    """Return recall against precision, one line a least similarity, one point a number of bits."""
    traces = [_line(name, points, place) for place, (name, points) in enumerate(sorted(curves.items()))]
    axis = {"tickformat": ".0%", "range": [0, 1.02]}
    layout = {
        "height": 380,
        "xaxis": {**axis, "title": {"text": "recall: known copies that were joined to their source"}},
        "yaxis": {**axis, "title": {"text": "precision: pairs that stem from one picture"}},
        "hovermode": "closest",
    }
    first = next(iter(curves.values()))[0]
    caption = (
        "Near-duplicates of the sample world: one line a least cosine of the embeddings, one point a number of bits "
        f"in which the hashes may differ. n: {first[2].n} known copies; pairs as found at each point."
    )
    return figure("fig-duplicates", traces, layout, caption)


def _curves(data: ReportData) -> dict[str, list[tuple[int, Result, Result]]]:
    """Return points (bits, precision, recall) by least similarity; a threshold that takes no pair has none."""
    found: dict[str, list[tuple[int, Result, Result]]] = {}
    for precision in data.select(ANALYSIS, "precision"):
        recall = data.get(ANALYSIS, "recall", **precision.labels)
        if "bits" in precision.labels and recall:
            point = (int(precision.labels["bits"]), precision, recall)
            found.setdefault(precision.labels["similarity"], []).append(point)
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def _line(name: str, points: list[tuple[int, Result, Result]], place: int) -> go.Scatter:
    return go.Scatter(
        x=[recall.estimate or 0.0 for _, _, recall in points],
        y=[precision.estimate or 0.0 for _, precision, _ in points],
        customdata=[bits for bits, _, _ in points],
        name=f"cosine ≥ {name}",
        mode="lines+markers",
        line={"color": colour(place)},
        hovertemplate="%{customdata} bits: recall %{x:.1%}, precision %{y:.1%}",
    )


SECTION = ReportSection("duplicates", "Duplicates", context)
