"""The section on copies: which posts are closer to a reference than chance makes them, and how well that is known."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label
from twigma_spark.report.numbers import count, interval
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

METRICS = ("threshold", "candidates", "false_share", "reference_rate")
# Light to dark: the share of copies that is planted.
SHADES = ("#bcd3e8", "#94b8da", "#6c9ccb", "#4a80b3", "#336593", "#1f4a70")


def context(data: ReportData) -> dict[str, object]:
    """Return one row a reference, the chart of the calibration, the recall of planted copies and the candidates."""
    by_metric = {metric: data.by_label("copies", metric, "reference") for metric in METRICS}
    rows = [tuple(by_metric[metric].get(reference) for metric in METRICS) for reference in by_metric["threshold"]]
    recalls = [(r, planted) for r in by_metric["threshold"] if (planted := _recalls(data, r))]
    return {
        "rows": list(zip(by_metric["threshold"], rows, strict=True)),
        "charts": [chart] if (chart := calibration(data)) else [],
        "planted": [float(r.labels["planted"]) for r in recalls[0][1]] if recalls else [],
        "recalls": recalls,
        "candidates": [(r, [c for c in data.copies if c.reference == r]) for r in by_metric["threshold"]],
    }


def _recalls(data: ReportData, reference: str) -> list[Result]:
    recalls = data.select("copies", "planted_recall", reference=reference)
    return sorted(recalls, key=lambda r: float(r.labels["planted"]))


def calibration(data: ReportData) -> Figure | None:
    """Return a panel a reference: false-match rates as stated, and as they are in planted worlds and in the data."""
    references = list(dict.fromkeys(r.labels["reference"] for r in data.select("copies", "observed_rate")))
    if not references:
        return None
    traces: list[go.Scatter] = []
    wide = 1.0 / len(references)
    layout: dict[str, Any] = {"height": 400, "annotations": []}
    for place, reference in enumerate(references):
        number = "" if place == 0 else str(place + 1)
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": place == 0}
        traces += _panel(data, reference, axes)
        start = place * wide + (0.08 * wide if place else 0.0)
        layout[f"xaxis{number}"] = {
            "type": "log", "domain": [start, (place + 1) * wide], "title": {"text": "stated rate"}, "dtick": 1,
        }  # fmt: skip
        layout[f"yaxis{number}"] = {
            "type": "log", "anchor": f"x{number}", "matches": "y" if place else None, "tickformat": ".0e",
            "showticklabels": place == 0, "title": {"text": "" if place else "rate as it is"}, "dtick": 1,
        }  # fmt: skip
        layout["annotations"].append(
            {"text": label(reference), "x": (start + (place + 1) * wide) / 2, "y": 1, "yanchor": "bottom",
             "xref": "paper", "yref": "paper", "showarrow": False}
        )  # fmt: skip
    worlds = data.select("copies", "realised_rate")
    n = max((r.n or 0 for r in worlds), default=0)
    caption = (
        "Is the false-match rate what it says? Blue: the true rate in worlds drawn from the fitted background with 0 "
        f"(light) to 20% (dark) copies planted, the mean of up to {count(n)} worlds; dotted: half and twice the stated "
        "rate. Orange: the share of this run's best matches at the same similarity, with its 95% interval (Wilson): "
        "what lies above the diagonal are candidates beyond chance."
    )
    return figure("fig-copies", traces, layout, caption)


def _panel(data: ReportData, reference: str, axes: dict[str, Any]) -> list[go.Scatter]:
    observed = _by_rate(data.select("copies", "observed_rate", reference=reference))
    stated = [float(r.labels["stated"]) for r in observed]
    guides = [
        go.Scatter(
            x=stated, y=[times * x for x in stated], mode="lines", hoverinfo="skip",
            line={"color": "#8a8a8a", "width": 1, "dash": "solid" if times == 1 else "dot"},
            **(axes | {"showlegend": False}),
        )
        for times in (0.5, 1.0, 2.0)
    ]  # fmt: skip
    worlds = data.select("copies", "realised_rate", reference=reference, kind="copies")
    shares = sorted({r.labels["planted"] for r in worlds}, key=float)
    lines = []
    for shade, share in zip(SHADES, shares, strict=False):
        rows = _by_rate([r for r in worlds if r.labels["planted"] == share and r.estimate])
        lines.append(
            go.Scatter(
                x=[float(r.labels["stated"]) for r in rows], y=[r.estimate for r in rows],
                name=f"{float(share):.0%} copies planted", mode="lines+markers",
                line={"color": shade, "width": 2}, marker={"size": 5},
                customdata=[f"{interval(r.low, r.high)}, {count(r.n)} worlds" for r in rows],
                hovertemplate="stated %{x:.1e}, realised %{y:.1e} %{customdata}",
                legendgroup=share, **axes,
            )
        )  # fmt: skip
    seen = [r for r in observed if r.estimate]
    dots = go.Scatter(
        x=[float(r.labels["stated"]) for r in seen], y=[r.estimate for r in seen], name="this run's matches",
        mode="markers", marker={"color": colour(0), "size": 9, "symbol": "diamond"},
        error_y={"type": "data", "symmetric": False, "thickness": 1.2, **error_bars(seen)},
        hovertemplate="stated %{x:.1e}, in this run %{y:.1e}", legendgroup="run", **axes,
    )  # fmt: skip
    return [*guides, *lines, dots]


def _by_rate(rows: list[Result]) -> list[Result]:
    return sorted(rows, key=lambda r: float(r.labels["stated"]))


def findings(data: ReportData) -> list[Finding]:
    """Return nothing: candidates are for a person to look at."""
    return []


SECTION = ReportSection("copies", "Copy candidates", context, findings)
