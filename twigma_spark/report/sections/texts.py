"""The section on texts: how varied prompts, captions, posts and other texts are at equal lengths."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, interval, number
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.report.sections.variation import COLUMNS, apart, groups, ridgelines
from twigma_spark.results import Result

ANALYSIS = "text_variation"


def context(data: ReportData) -> dict[str, object]:
    """Return the ridgelines and the table of all measures; or the reason why there are none."""
    kinds = groups(data, ANALYSIS)
    table = [(row.labels["kind"], [data.get(ANALYSIS, m, **row.labels) for m in COLUMNS]) for row in kinds]
    reasons = sorted({row.method for row in kinds if row.estimate is None})
    return {
        "chart": ridgelines(data, ANALYSIS, kinds, "fig-texts", _describe(data)), "table": table, "reasons": reasons,
        "columns": COLUMNS.values(), "rows": [r for _, cells in table for r in cells if r],
    }  # fmt: skip


def findings(data: ReportData) -> list[Finding]:
    """Return which texts are most alike; nothing where intervals overlap."""
    ranked = _rank(data)
    if len(ranked) < 2 or not apart(ranked[0], ranked[1]):
        return []
    return [Finding(_describe(data), f"n = {count(ranked[0].n)} {ranked[0].unit}; {ranked[0].method}.")]


def _describe(data: ReportData) -> str:
    ranked = _rank(data)
    if len(ranked) < 2:
        return ""
    rest = "; ".join(f"{r.labels['kind']} {number(r.estimate)} {interval(r.low, r.high)}" for r in ranked[1:])
    if not apart(ranked[0], ranked[1]):
        return "Which texts are most alike cannot be decided: the intervals overlap."
    first = f"{number(ranked[0].estimate)} {interval(ranked[0].low, ranked[0].high)}"
    return f"Of texts of equal length, {ranked[0].labels['kind']} are most alike: {first} apart on average ({rest})."


def _rank(data: ReportData) -> list[Result]:
    known = [r for r in data.select(ANALYSIS, "pair_distance") if r.estimate is not None]
    return sorted(known, key=lambda r: (r.estimate or 0.0, r.key))


SECTION = ReportSection("texts", "Texts", context, findings)
