"""Images that two corpora share: they stay in both, and whoever compares the corpora must know of them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.results import Result
from twigma_spark.stats.intervals import wilson_value

METHOD = "kept images with a copy among the kept ones of the other corpus; Wilson, 95%"


def find_shared_images(images: DataFrame, kept: DataFrame, duplicates: DataFrame, near: DataFrame) -> DataFrame:
    """Return image_id, corpus, other_id, other_corpus, tier ("bytes" or "near") and bits; corpus < other_corpus.

    Both images are kept ones of their corpus: a near pair of duplicates counts as one of what they repeat.

    Args:
        images: image_id, sha256.
        kept: image_id, corpus.
        duplicates: image_id, canonical_id.
        near: a, b, bits, across, near, of `find_lookalikes`.
    """
    same = kept.select("image_id", "corpus").join(images.select("image_id", "sha256"), "image_id")
    other = same.select(F.col("image_id").alias("other_id"), F.col("corpus").alias("other_corpus"), "sha256")
    ends = ("image_id", "corpus", "other_id", "other_corpus")
    equal = same.join(other, "sha256").where("corpus < other_corpus").select(*ends, F.lit(0).alias("bits"))
    survivor = _survivors(kept, duplicates)
    one, two = survivor.toDF("a", "image_id", "corpus"), survivor.toDF("b", "other_id", "other_corpus")
    pairs = near.where("near AND across").select("a", "b", "bits")
    pairs = pairs.unionByName(pairs.select(F.col("b").alias("a"), F.col("a").alias("b"), "bits"))
    alike = pairs.join(one, "a").join(two, "b").where("corpus < other_corpus").select(*ends, "bits")
    both = equal.withColumn("tier", F.lit("bytes")).unionByName(alike.withColumn("tier", F.lit("near")))
    # "bytes" comes before "near" in the alphabet.
    return both.groupBy(*ends).agg(F.min("tier").alias("tier"), F.min("bits").alias("bits"))


def shared_image_results(shared: DataFrame, kept: DataFrame) -> list[Result]:
    """Return for each two corpora that share images the share of each one's kept images that are in the other.

    Args:
        shared: rows of the table `shared_images`.
        kept: image_id, corpus.
    """
    both = shared.select("corpus", "other_corpus", "image_id").union(
        shared.select(F.col("other_corpus"), F.col("corpus"), F.col("other_id"))
    )
    counts = both.groupBy("corpus", "other_corpus").agg(F.countDistinct("image_id").alias("n")).collect()
    if not counts:
        return []
    sizes = {row["corpus"]: row["count"] for row in kept.groupBy("corpus").count().collect()}
    ordered = sorted(counts, key=lambda row: (row["corpus"], row["other_corpus"]))
    return [
        Result.of("duplicates", "shared_images", wilson_value(row["n"], sizes[row["corpus"]], "images", METHOD),
                  corpus=row["corpus"], other=row["other_corpus"])
        for row in ordered
    ]  # fmt: skip


def _survivors(kept: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Return each image with the kept one that stands for it, and the corpus of both."""
    repeats = duplicates.select("image_id", "canonical_id")
    own = kept.select("image_id", F.col("image_id").alias("canonical_id"))
    return (
        repeats.unionByName(own)
        .join(kept.select(F.col("image_id").alias("canonical_id"), "corpus"), "canonical_id")
        .select("image_id", "canonical_id", "corpus")
    )
