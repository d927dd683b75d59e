"""The section on prompt length: whether longer prompts make images that are more alike."""

from __future__ import annotations

from itertools import groupby

import plotly.graph_objects as go
from scipy.stats import t

from twigma_spark.report.data import PromptDistance, ReportData
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import count, interval, number
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

ANALYSIS = "prompt_length"
# Above this many prompts of a corpus, the mean of each length is drawn instead of every prompt.
LARGE = 1500


def context(data: ReportData) -> dict[str, object]:
    """Return the scatter, and tau with its p-value by corpus."""
    taus, ps = (data.by_label(ANALYSIS, metric, "corpus") for metric in ("kendall_tau", "kendall_p"))
    return {"chart": scatter(data), "rows": [(row, ps.get(corpus)) for corpus, row in taus.items()]}


def scatter(data: ReportData) -> Figure | None:
    """Return words of the prompt against the mean distance of its images; by length where there are many."""
    parts = {name: list(rows) for name, rows in groupby(data.prompts, lambda p: p.corpus)}
    if not parts:
        return None
    traces = [_trace(name, rows, colour(i)) for i, (name, rows) in enumerate(parts.items())]
    layout = {
        "height": 420, "showlegend": len(parts) > 1, "xaxis": {"title": {"text": "words of the prompt"}},
        "yaxis": {"title": {"text": "mean distance of its images"}, "rangemode": "tozero"},
    }  # fmt: skip
    kinds = "; ".join(f"{name} {count(len(rows))} prompts{_binning_note(rows)}" for name, rows in parts.items())
    seen = " ".join(_sentence(row, data) for row in data.select(ANALYSIS, "kendall_tau"))
    caption = f"Mean Euclidean distance of the images of one prompt, as unit vectors. n: {kinds}. {seen}"
    return figure("fig-prompts", traces, layout, caption)


def _trace(name: str, rows: list[PromptDistance], paint: str) -> go.Scatter:
    if len(rows) <= LARGE:
        x, y = [p.words for p in rows], [round(p.distance, 4) for p in rows]
        hover = "%{x} words: %{y:.3f}"
        return go.Scatter(x=x, y=y, mode="markers", name=label(name), hovertemplate=hover,
                          marker={"color": paint, "size": 7, "opacity": 0.55})  # fmt: skip
    bins = [_bin(words, [p.distance for p in same]) for words, same in groupby(rows, lambda p: p.words)]
    return go.Scatter(
        x=[b[0] for b in bins], y=[b[1] for b in bins], mode="markers", name=label(name),
        error_y={"type": "data", "array": [b[2] for b in bins], "width": 3},
        marker={"color": paint, "size": 7}, customdata=[count(b[3]) for b in bins],
        hovertemplate="%{x} words: %{y:.3f}, n = %{customdata} prompts",
    )  # fmt: skip


def _bin(words: int, values: list[float]) -> tuple[int, float, float, int]:
    """Return length, mean, half of the 95% interval by Student's t (0 of one prompt), and prompts."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return words, round(mean, 4), 0.0, n
    deviation = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5
    return words, round(mean, 4), round(float(t.ppf(0.975, n - 1)) * deviation / n**0.5, 4), n


def _binning_note(rows: list[PromptDistance]) -> str:
    return ", drawn as the mean of each length with its 95% t interval" if len(rows) > LARGE else ""


def findings(data: ReportData) -> list[Finding]:
    """Return whether longer prompts make images more alike, for each corpus with prompts."""
    rows = [r for r in data.select(ANALYSIS, "kendall_tau") if r.estimate is not None]
    return [Finding(_sentence(r, data), f"n = {count(r.n)} {r.unit}; {r.method}.") for r in rows]


def _sentence(row: Result, data: ReportData) -> str:
    if row.estimate is None:
        return f"{row.labels['corpus']}: {row.method}."
    p = data.get(ANALYSIS, "kendall_p", **row.labels)
    value = f"(Kendall's τ {number(row.estimate)} {interval(row.low, row.high)}{_p(p)})"
    if row.low is not None and row.high is not None and not row.low <= 0 <= row.high:
        more = "more" if row.estimate < 0 else "less"
        return f"The longer a prompt of {row.labels['corpus']}, the {more} alike its images {value}."
    return f"Prompt length and distance of the images of {row.labels['corpus']} show no association {value}."


def _p(row: Result | None) -> str:
    if row is None or row.estimate is None:
        return ""
    return ", p < 0.001" if row.estimate < 0.001 else f", p = {row.estimate:.3f}"


SECTION = ReportSection("prompts", "Prompt length", context, findings)
