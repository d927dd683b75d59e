"""Made-up results for the page of report_demo on duplicates, k, the map, copies, annotators and the other measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from made_results import result

from twigma_spark.results import Result

OTHERS = ("frontier_integral", "knn_kl", "mmd", "cmmd", "precision", "recall", "density", "coverage")


def of(
    analysis: str, metric: str, value: float | None, reach: float | None = 0.05, n: int = 200, **labels: object
) -> Result:
    """Return a row with a symmetric interval, or none."""
    low, high = (None, None) if value is None or reach is None else (value - reach, value + reach)
    return result(analysis, metric, value, low, high, n, **labels)


def quality(corpora: Sequence[str], references: Sequence[str]) -> Iterator[Result]:
    """Yield how good duplicates, clusters, map, search and annotators are, and measures beside the KL divergence."""
    for metric in OTHERS:
        yield of("distinctiveness", metric, 0.4, p="posts", q="diffusion")
    for reference in references:
        yield of("grid_spread", "kl", 0.9, p="posts", q=reference)
    for i, corpus in enumerate(corpora):
        yield of("origins", "share", 0.6, clustering="origins", cluster=i, corpus=corpus)
    for metric in ("iev", "pmv", "vendi", "entropy"):
        yield of("text_variation", metric, 2.5, kind="posts captions", versus="diffusion prompts")
    for labels in ({"tier": "media"}, *({"tier": "near", "candidates": "both", "bits": bits} for bits in (16, 32))):
        yield of("duplicates", "precision", 0.97, 0.02, **labels)
        yield of("duplicates", "recall", 0.81, 0.04, **labels)
    yield of("duplicates", "recall_of_search", 0.999, 0.0005, candidates="pixels")
    yield of("duplicates", "hash_bits", 32.0, 0.0)
    yield of("duplicates", "false_pairs", 0.004, 0.001, bits=32)
    yield of("duplicates", "candidate_similarity", 0.81, 0.0)
    yield of("duplicates", "shared_images", 0.02, 0.005, corpus="posts", other="art")
    for k in (5, 10):
        yield of("choice_of_k", "silhouette", 0.3, clustering="themes", k=k)
        yield of("choice_of_k", "adjusted_rand", 0.7, clustering="themes", k=k)
    for metric in ("trustworthiness", "continuity"):
        yield of("projection", metric, 0.9)
    yield of("projection", "drift", 0.2, seed=0, other_seed=1)
    for reference in references:
        yield of("copies", "threshold", 0.963, 0.004, 1800, reference=reference)
        yield of("copies", "candidates", 0.015, 0.004, 1800, reference=reference)
        yield of("copies", "false_share", 0.07, 0.03, 27, reference=reference)
        yield of("copies", "reference_rate", 0.004, 0.003, 500, reference=reference)
        for times in (10.0, 3.0, 1.0, 0.3):
            stated = {"reference": reference, "stated": f"{times / 1000:g}"}
            yield of("copies", "observed_rate", 0.01 + times / 1000, 0.004, 1800, **stated)
            for share in (0.0, 0.01, 0.05, 0.2):
                planted = stated | {"kind": "copies", "planted": f"{share:g}"}
                yield of("copies", "realised_rate", times / 1000 * (1 + share), times / 4000, 20, **planted)
        for share in (0.01, 0.05, 0.2):
            yield of("copies", "planted_recall", 0.98, 0.02, 20, reference=reference, kind="copies",
                     planted=f"{share:g}")  # fmt: skip
    yield of("sensitivity", "rank_agreement", 0.8, None, 12, measure="kl_kt", variant="second encoder")
    yield of("sensitivity", "left_out", 0.03, 0.01, 1800, corpus="posts", variant="without likely real images")
    without = {"variant": "without likely real images"}
    yield of("sensitivity", "kl_kt", 0.9, p="posts", q="art", **without)
    yield of("sensitivity", "pair_distance", 0.2, corpus="posts", **without)
    yield of("sensitivity", "poisson_score", -4.0, 9.0, reference="art", level="quintile 1", **without)
    yield of("sensitivity", "nearest_share", 0.6, reference="art", variant="as it is")
    yield of("sensitivity", "nearest_share", 0.58, reference="art", **without)
    yield of("recall", "recall_at_k", 0.962, 0.01, reference="diffusion", k=5, nprobe=16)
    for metric in ("keyword_overlap", "keyword_overlap_null", "ari", "ami"):
        yield of("concordance", metric, 0.4, annotator="first")
    for metric in ("alpha_keywords", "alpha_groupings"):
        yield of("concordance", metric, 0.6)
    for word, share in (("castles", 0.6), ("ruin", 0.3)):
        yield of("concordance", "keyword", share, 0.1, 10, clustering="themes", cluster=3, word=word)
    yield of("concordance", "kept_together", 0.3, cluster=3)
    yield of("concordance", "split_by_people", 1.0, None, cluster=3)
    yield of("concordance", "unknown_answers", None, n=2)
