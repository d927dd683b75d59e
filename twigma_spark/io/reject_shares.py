"""Corpora of which a stage refused much: a sign of a wrong setting more often than of bad files."""

from __future__ import annotations

from pyspark.sql import functions as F

from twigma_spark.io.tables import Store

# Share of a corpus's images and rejects that a stage may refuse before it is said.
MOST = 0.1
# Reasons that are named.
REASONS = 3


def describe_large_shares(store: Store, stage: str) -> list[str]:
    """Return a sentence for each corpus of which `stage` refused more than a tenth, with the commonest reasons."""
    refused = store.read("rejects").where(F.col("stage") == stage).groupBy("corpus", "reason").count().collect()
    if not refused:
        return []
    images = {row["corpus"]: row["count"] for row in store.read("images").groupBy("corpus").count().collect()}
    by_corpus: dict[str, dict[str, int]] = {}
    for row in refused:
        by_corpus.setdefault(row["corpus"], {})[row["reason"]] = row["count"]
    return [
        _describe(corpus, reasons, images.get(corpus, 0))
        for corpus, reasons in sorted(by_corpus.items(), key=lambda item: str(item[0]))
        if sum(reasons.values()) > MOST * (sum(reasons.values()) + images.get(corpus, 0))
    ]


def _describe(corpus: str, reasons: dict[str, int], images: int) -> str:
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
    number = sum(reasons.values())
    named = ", ".join(f"{reason} {n:,}" for reason, n in most)
    return f"corpus '{corpus}' has {number:,} reject{'s' if number > 1 else ''} beside {images:,} images ({named})"
