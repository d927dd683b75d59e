"""The section on annotators: what people said of the images beside captions and clusters."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, number
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

NAMES = {
    "keyword_overlap": "Keywords that are words of the caption",
    "keyword_overlap_null": "… with the captions permuted",
    "alpha_keywords": "Agreement of the annotators' keywords (Krippendorff's α)",
    "alpha_groupings": "Agreement of the annotators' groups (Krippendorff's α)",
    "ari": "Groups against clusters: adjusted Rand index",
    "ami": "Groups against clusters: adjusted mutual information",
    "kept_together": "Pairs of a cluster that people put together",
}


def rows(data: ReportData) -> list[tuple[str, Result]]:
    """Return the statistics with their names, in the order of `NAMES`."""
    order = list(NAMES)
    found = [r for r in data.results if r.analysis == "concordance" and r.metric in NAMES]
    return [(NAMES[r.metric], r) for r in sorted(found, key=lambda r: (order.index(r.metric), r.key))]


def context(data: ReportData) -> dict[str, object]:
    """Return the rows, and the clusters that people split."""
    split = [r.label_text for r in data.select("concordance", "split_by_people") if r.estimate]
    unknown = [r.method for r in data.select("concordance", "unknown_answers")]
    return {"rows": rows(data), "split": split, "unknown": unknown}


def findings(data: ReportData) -> list[Finding]:
    """Return how well people's groups agree with the clusters, as far as the interval is above chance."""
    found = [r for r in data.select("concordance", "ari") if r.low is not None and r.low > 0]
    return [
        Finding(
            f"The groups of annotator {r.labels['annotator']} agree with the clusters beyond chance: adjusted Rand "
            f"index {number(r.estimate)} [{number(r.low)}, {number(r.high)}].",
            f"n = {count(r.n)} {r.unit}; {r.method}.",
        )
        for r in found[:3]
    ]


SECTION = ReportSection("concordance", "Annotators", context, findings)
