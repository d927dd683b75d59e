"""Results as tests make and read them."""

from __future__ import annotations

from twigma_spark import metrics
from twigma_spark.results import Result, Value


def result(
    analysis: str,
    metric: str,
    estimate: float | None,
    low: float | None = None,
    high: float | None = None,
    n: int = 200,
    unit: str = "images",
    method: str = "a method",
    **labels: object,
) -> Result:
    """Return a result whose value is made up."""
    return Result.of(analysis, metric, Value(estimate, low, high, n, unit, method), **labels)


def joined(row: Result) -> str:
    """Return the labels' values in the catalogue's order with bars between, for short keys of expected values."""
    names = metrics.LABELS.get(row.analysis, tuple(row.labels))
    return "|".join(row.labels[name] for name in names if name in row.labels)
