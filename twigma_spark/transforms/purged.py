"""What was purged, known by the digests of its ids, is left out wherever it comes from."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

REASON = "purged"


def digests(tombstones: DataFrame, kind: str) -> DataFrame:
    """Return the digests of what was purged of a kind, a column `digest`."""
    return tombstones.where(F.col("kind") == kind).select("digest")


def without(rows: DataFrame, column: str, purged: DataFrame) -> DataFrame:
    """Return the rows in which a column is no id with one of the digests; a null is none."""
    return rows.join(F.broadcast(purged), F.sha2(F.col(column), 256) == F.col("digest"), "left_anti")


def without_posts(rows: DataFrame, purged: DataFrame) -> DataFrame:
    """Return the rows whose `post_id` has none of the digests."""
    return without(rows, "post_id", purged)


def mark_purged(candidates: DataFrame, tombstones: DataFrame) -> DataFrame:
    """Return the candidates with those as rejects that were purged, of which then only a digest is kept.

    Args:
        candidates: of `images.probe_images`; one is purged where its image, or its post, was.
        tombstones: rows of the table `tombstones`.
    """
    known = tombstones.where("kind IN ('image', 'post')").select("kind", "digest")
    image = known.where("kind = 'image'").select(F.col("digest").alias("of_image"))
    post = known.where("kind = 'post'").select(F.col("digest").alias("of_post"))
    joined = candidates.join(F.broadcast(image), F.sha2("image_id", 256) == F.col("of_image"), "left").join(
        F.broadcast(post), F.sha2("post_id", 256) == F.col("of_post"), "left"
    )
    gone = F.col("of_image").isNotNull() | F.col("of_post").isNotNull()
    kept = ("corpus", "source_key", "reason", "detail")
    columns = {
        "source_key": F.when(gone, F.sha2("source_key", 256)).otherwise(F.col("source_key")),
        "reason": F.when(gone, REASON).otherwise(F.col("reason")),
        "detail": F.when(gone, F.lit(None)).otherwise(F.col("detail")),
        **{name: F.when(~gone, F.col(name)) for name in candidates.columns if name not in kept},
    }
    return joined.select(
        *[columns[name].alias(name) if name in columns else F.col(name) for name in candidates.columns]
    )
