"""The section on annotators: what people said of the images beside captions and clusters."""

from __future__ import annotations

from dataclasses import dataclass

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, number
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result
from twigma_spark.stats.concordance import singular

WORDS = 20  # of the captions of a cluster
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
    shown = [r for r in data.results if r.analysis == "concordance" and r.metric in NAMES]
    return [(NAMES[r.metric], r) for r in sorted(shown, key=lambda r: (order.index(r.metric), r.key))]


def context(data: ReportData) -> dict[str, object]:
    """Return the rows, and the clusters that people split."""
    split = [r.label_text for r in data.select("concordance", "split_by_people") if r.estimate]
    unknown = [r.method for r in data.select("concordance", "unknown_answers")]
    return {"rows": rows(data), "split": split, "unknown": unknown, "keywords": keywords(data)}


@dataclass(frozen=True)
class ClusterWords:
    """What people and captions say of a cluster.

    Attributes:
        cluster: its number.
        keywords: of the annotators, with the share of the images that have it, and whether captions say it too.
        captions: words of the captions, and whether annotators say them too.
        images: that were annotated.
    """

    cluster: int
    keywords: tuple[tuple[str, float, bool], ...]
    captions: tuple[tuple[str, bool], ...]
    images: int


def keywords(data: ReportData) -> list[ClusterWords]:
    """Return keywords beside the words of the captions, by cluster."""
    by_cluster: dict[tuple[str, int], list[Result]] = {}
    for row in data.select("concordance", "keyword"):
        by_cluster.setdefault((row.labels["clustering"], int(row.labels["cluster"])), []).append(row)
    of_captions = {(t.clustering, t.cluster): [word for word, _ in t.words[:WORDS]] for t in data.themes}
    alphas = []
    for place, results in sorted(by_cluster.items()):
        ordered = sorted(results, key=lambda r: (-(r.estimate or 0.0), r.labels["word"]))
        captions = of_captions.get(place, [])
        people = {singular(r.labels["word"]) for r in ordered}
        machine = {singular(word) for word in captions}
        alphas.append(
            ClusterWords(
                place[1],
                tuple((w := r.labels["word"], r.estimate or 0.0, singular(w) in machine) for r in ordered),
                tuple((word, singular(word) in people) for word in captions),
                max(r.n or 0 for r in ordered),
            )
        )
    return alphas


def findings(data: ReportData) -> list[Finding]:
    """Return how well people's groups agree with the clusters, as far as the interval is above chance."""
    above = [r for r in data.select("concordance", "ari") if r.low is not None and r.low > 0]
    return [
        Finding(
            f"The groups of annotator {r.labels['annotator']} agree with the clusters beyond chance: adjusted Rand "
            f"index {number(r.estimate)} [{number(r.low)}, {number(r.high)}].",
            f"n = {count(r.n)} {r.unit}; {r.method}.",
        )
        for r in above[:3]
    ]


SECTION = ReportSection("concordance", "Annotators", context, findings)
