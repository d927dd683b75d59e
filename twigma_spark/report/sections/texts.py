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
    table = [(row.label_text, [data.get(ANALYSIS, m, **row.labels) for m in COLUMNS]) for row in kinds]
    reasons = sorted({row.method for row in kinds if row.estimate is None})
    return {
        "chart": ridgelines(data, ANALYSIS, kinds, "fig-texts", _describe(data)), "table": table, "reasons": reasons,
        "columns": COLUMNS.values(), "rows": [r for _, cells in table for r in cells if r],
    }  # fmt: skip


def findings(data: ReportData) -> list[Finding]:
    """Return what is certain of how varied each kind of text is beside the prompts of the same lengths."""
    return [
        Finding(text, f"n = {count(one.n)} {one.unit} of each; {one.method}.")
        for one, other in _pairs(data)
        if (text := _compare(one, other))
    ]


def _describe(data: ReportData) -> str:
    """Return what is certain of all kinds, and which cannot be decided."""
    pairs = _pairs(data)
    sentences = [text for one, other in pairs if (text := _compare(one, other))]
    unsure = [one.labels["kind"] for one, other in pairs if not _compare(one, other)]
    if unsure:
        sentences.append(f"For {', '.join(unsure)} the intervals overlap with those of what they are matched to.")
    return " ".join(sentences)


def _pairs(data: ReportData) -> list[tuple[Result, Result]]:
    """Return the mean distances of each kind and of what it is matched to, where both are known."""
    rows = {(r.labels["kind"], r.labels["versus"]): r for r in data.select(ANALYSIS, "pair_distance") if _is_matched(r)}
    # The kind that all are matched to is the one that comes with several others.
    matched: dict[str, int] = {}
    for _, versus in rows:
        matched[versus] = matched.get(versus, 0) + 1
    return [
        (row, rows[versus, kind])
        for (kind, versus), row in rows.items()
        if (versus, kind) in rows and (matched.get(kind, 0), kind) < (matched[versus], versus)
    ]


def _is_matched(row: Result) -> bool:
    return row.estimate is not None and "versus" in row.labels


def _compare(one: Result, other: Result) -> str:
    """Return which of two kinds of text is more alike; nothing where their intervals overlap."""
    if not (apart(one, other) or apart(other, one)):
        return ""
    words = "more alike than" if apart(one, other) else "farther apart than"
    means = (f"{number(r.estimate)} {interval(r.low, r.high)}" for r in (one, other))
    kind, versus = one.labels["kind"], other.labels["kind"]
    return f"Of texts of equal length, {kind} are {words} {versus}: mean distances {' and '.join(means)}."


SECTION = ReportSection("texts", "Texts", context, findings)
