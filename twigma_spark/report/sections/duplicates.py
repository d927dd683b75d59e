"""The section on duplicates: what was found of the known ones, by tier and by threshold."""

from __future__ import annotations

import plotly.graph_objects as go

from twigma_spark import metrics
from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, figure
from twigma_spark.report.section import ReportSection
from twigma_spark.results import Result

ANALYSIS = "duplicates"
TIERS = ("media", "bytes", "embedding", "near")
# What near-duplicates rest on, and how each number is written.
THRESHOLDS = {"hash_bits": "{:.0f} of 256", "false_pairs": "{:.2%}", "candidate_similarity": "{:.3f}"}


def context(data: ReportData) -> dict[str, object]:
    """Return both shares by tier, and the curve; only a sample world has them."""
    tiers = [(t, data.get(ANALYSIS, "precision", tier=t), data.get(ANALYSIS, "recall", tier=t)) for t in TIERS]
    rows = [row for row in tiers if row[1] or row[2]]
    curves = _curves(data)
    return {
        "rows": rows,
        "chart": chart(curves) if curves else None,
        "searched": data.select(ANALYSIS, "recall_of_search"),
        "shared": data.select(ANALYSIS, "shared_images"),
        "thresholds": [_threshold(row) for metric in THRESHOLDS for row in data.select(ANALYSIS, metric)],
    }


def chart(curves: dict[str, list[tuple[int, Result, Result]]]) -> Figure:
    """Return recall against precision, one line a kind of candidates, one point a number of bits."""
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
        "Near-duplicates: one line for the candidates by pixels, by embeddings and by both, one point a number of bits "
        f"in which the hashes may differ. n: {first[2].n} known copies; pairs as found at each point."
    )
    return figure("fig-duplicates", traces, layout, caption)


def _curves(data: ReportData) -> dict[str, list[tuple[int, Result, Result]]]:
    """Return points (bits, precision, recall) by kind of candidates; a threshold that takes no pair has none."""
    curves: dict[str, list[tuple[int, Result, Result]]] = {}
    for precision in data.select(ANALYSIS, "precision"):
        recall = data.get(ANALYSIS, "recall", **precision.labels)
        if "bits" in precision.labels and recall:
            point = (int(precision.labels["bits"]), precision, recall)
            curves.setdefault(precision.labels["candidates"], []).append(point)
    return {name: sorted(points, key=lambda point: point[0]) for name, points in curves.items()}


def _threshold(row: Result) -> dict[str, object]:
    """Return a threshold as the page writes it."""
    text = "none" if row.estimate is None else THRESHOLDS[row.metric].format(row.estimate)
    if row.low is not None and row.high is not None:
        text += f" [{row.low:.2%}, {row.high:.2%}]"
    known = metrics.find(ANALYSIS, row.metric)
    return {
        "title": known.title if known else row.metric,
        "text": text,
        "n": row.n,
        "unit": row.unit,
        "method": row.value.method,
    }


def _line(name: str, points: list[tuple[int, Result, Result]], place: int) -> go.Scatter:
    return go.Scatter(
        x=[recall.estimate or 0.0 for _, _, recall in points],
        y=[precision.estimate or 0.0 for _, precision, _ in points],
        customdata=[bits for bits, _, _ in points],
        name=name,
        mode="lines+markers",
        line={"color": colour(place)},
        hovertemplate="%{customdata} bits: recall %{x:.1%}, precision %{y:.1%}",
    )


SECTION = ReportSection("duplicates", "Duplicates", context)
