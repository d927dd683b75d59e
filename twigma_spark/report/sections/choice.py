"""The section on the number of clusters: silhouette and agreement of seeds over a grid of k."""

from __future__ import annotations

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label
from twigma_spark.report.section import ReportSection
from twigma_spark.results import Result

ANALYSIS = "choice_of_k"
METRICS = {"silhouette": "mean silhouette", "adjusted_rand": "agreement of seeds (adjusted Rand)"}


def context(data: ReportData) -> dict[str, object]:
    """Return one chart a clustering, and all values."""
    names = sorted({r.labels["clustering"] for metric in METRICS for r in data.select(ANALYSIS, metric)})
    rows = [(name, METRICS[m], k, r) for name in names for m in METRICS for k, r in _by_k(data, name, m)]
    return {"charts": [chart(data, name, n) for n, name in enumerate(names)], "rows": rows}


def chart(data: ReportData, name: str, index: int) -> Figure:
    """Return both measures over k, with their intervals as bars."""
    traces = [_line(data, name, metric, place) for place, metric in enumerate(METRICS)]
    layout = {
        "height": 300,
        "xaxis": {"title": {"text": "number of clusters k"}, "type": "category", "showgrid": False},
        "yaxis": {"title": {"text": "silhouette; adjusted Rand"}},
    }
    n = next((r.n for m in METRICS for _, r in _by_k(data, name, m)), None)
    caption = f"Clustering “{name}”: how well separated and how stable k clusters are, on a sample of {n} images."
    return figure(f"fig-choice-{index}", traces, layout, caption)


def _by_k(data: ReportData, name: str, metric: str) -> list[tuple[int, Result]]:
    by_k = data.by_label(ANALYSIS, metric, "k", clustering=name)
    return sorted(((int(k), row) for k, row in by_k.items() if row.estimate is not None), key=lambda pair: pair[0])


def _line(data: ReportData, name: str, metric: str, place: int) -> go.Scatter:
    points = [(k, r.estimate or 0.0, r) for k, r in _by_k(data, name, metric)]
    return go.Scatter(
        x=[str(k) for k, _, _ in points],
        y=[value for _, value, _ in points],
        error_y={**error_bars([r for _, _, r in points]), "symmetric": False},
        name=label(METRICS[metric]),
        mode="lines+markers",
        line={"color": colour(place)},
        hovertemplate="k = %{x}: %{y:.3f}",
    )


SECTION = ReportSection("choice", "How many clusters", context)
