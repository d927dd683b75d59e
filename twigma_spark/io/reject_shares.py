"""Corpora of which a stage refused much: a sign of a wrong setting more often than of bad files."""

from __future__ import annotations

from collections.abc import Mapping

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


def format_reasons(rejects: Mapping[str, int]) -> str:
    """Return the commonest reasons with their numbers, and how many more there are."""
    most = sorted(rejects.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{reason} {n:,}" for reason, n in most[:REASONS])
    return named + (f", {len(most) - REASONS} more reasons" if len(most) > REASONS else "")


def _describe(corpus: str, reasons: Mapping[str, int], images: int) -> str:
    number = sum(reasons.values())
    rejects = f"{number:,} reject{'s' if number > 1 else ''}"
    return (
        f"corpus '{corpus}' has {images:,} image{'' if images == 1 else 's'} and {rejects} ({format_reasons(reasons)})"
    )
