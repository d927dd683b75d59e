"""Made-up results for the page of report_demo on duplicates, k, the map, copies, annotators and the other measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twigma_spark.report.data import Result

OTHERS = ("frontier_integral", "knn_kl", "mmd", "cmmd", "precision", "recall", "density", "coverage")


def of(analysis: str, metric: str, group: str, value: float | None, reach: float | None = 0.05, n: int = 200) -> Result:
    """Return a row with a symmetric interval, or none."""
    low, high = (None, None) if value is None or reach is None else (value - reach, value + reach)
    return Result(analysis, analysis, metric, group, value, low, high, n, "images", "a method")


def quality(corpora: Sequence[str], references: Sequence[str]) -> Iterator[Result]:
    """Yield how good duplicates, clusters, map, search and annotators are, and measures beside the KL divergence."""
    for metric in OTHERS:
        yield of("distinctiveness", metric, "posts|diffusion", 0.4)
    for reference in references:
        yield of("grid_spread", "kl", f"posts|{reference}", 0.9)
    for i, corpus in enumerate(corpora):
        yield of("origins", "share", f"origins|{i}|{corpus}", 0.6)
    for metric in ("iev", "pmv", "vendi", "entropy"):
        yield of("text_variation", metric, "posts captions", 2.5)
    for group in ("tier=media", "near|similarity=0.950|bits=16", "near|similarity=0.950|bits=32"):
        yield of("duplicates", "precision", group, 0.97, 0.02)
        yield of("duplicates", "recall", group, 0.81, 0.04)
    yield of("duplicates", "recall_of_search", "similarity=0.950", 0.999, 0.0005)
    for k in (5, 10):
        yield of("choice_of_k", "silhouette", f"themes|{k}", 0.3)
        yield of("choice_of_k", "adjusted_rand", f"themes|{k}", 0.7)
    for metric in ("trustworthiness", "continuity"):
        yield of("projection", metric, "map", 0.9)
    yield of("projection", "drift", "seeds 0|1", 0.2)
    for reference in references:
        yield of("copies", "threshold", reference, 0.963, 0.004, 1800)
        yield of("copies", "candidates", reference, 0.015, 0.004, 1800)
        yield of("copies", "false_share", reference, 0.07, 0.03, 27)
    yield of("recall", "recall_at_5", "diffusion|nprobe=16", 0.962, 0.01)
    for metric in ("keyword_overlap", "keyword_overlap_null", "ari", "ami"):
        yield of("concordance", metric, "first", 0.4)
    for metric in ("alpha_keywords", "alpha_groupings"):
        yield of("concordance", metric, "all", 0.6)
    yield of("concordance", "kept_together", "cluster 3", 0.3)
    yield of("concordance", "split_by_people", "cluster 3", 1.0, None)
    yield of("concordance", "unknown_answers", "all", None, n=2)
