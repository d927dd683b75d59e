"""Small tables that the report draws from large ones: counts by corpus, cluster, month and reference."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.io.frames import union

# The stages that decide what becomes of a file; a later stage's rejects are kept images all the same.
INGEST, EMBED = "ingest", "embed"
KEPT, REJECTED = "kept", "rejected"


def image_outcomes(images: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> DataFrame:
    """Return what became of the files of each corpus: corpus, outcome, files, since, until.

    `outcome` is kept, rejected, or the tier of a duplicate. A file refused at ingest is not in `images`; one
    refused by the image model is, and counts as rejected even if it is listed as a duplicate.
    """
    seen = (
        images.select("image_id", "corpus", "source_key", "created_at")
        .join(_images_without_vector(rejects), ["corpus", "source_key"], "left")
        .join(duplicates.select("image_id", "tier"), "image_id", "left")
        .select("corpus", F.coalesce("broken", "tier", F.lit(KEPT)).alias("outcome"), "created_at")
    )
    never = F.lit(None).cast("timestamp").alias("created_at")
    door = rejects.where((F.col("unit") == "image") & (F.col("stage") == INGEST))
    return (
        seen.unionByName(door.select("corpus", F.lit(REJECTED).alias("outcome"), never))
        .groupBy("corpus", "outcome")
        .agg(
            F.count("*").alias("files"),
            F.min("created_at").alias("since"),
            F.max("created_at").alias("until"),
        )
        .select("corpus", "outcome", "files", "since", "until")
    )


def _images_without_vector(rejects: DataFrame) -> DataFrame:
    """Return corpus, source_key and `broken` of the images that the image model could not decode."""
    refused = rejects.where((F.col("unit") == "image") & (F.col("stage") == EMBED))
    return refused.select("corpus", F.col("key").alias("source_key"), F.lit(REJECTED).alias("broken")).distinct()


def count_steps(posts: DataFrame, media: DataFrame, vectors: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Return how many posts, photos, images and duplicates of each tier a corpus has: corpus, step, n.

    Args:
        posts: rows of the table `posts`.
        media: rows of the table `media`; a photo in two posts counts twice.
        vectors: image_id and corpus of the images that have a vector.
        duplicates: rows of the table `duplicates`.
    """
    tiers = vectors.select("image_id", "corpus").join(duplicates.select("image_id", "tier"), "image_id")
    rows = [
        posts.select("corpus", F.lit("posts").alias("step")),
        media.where("type = 'photo'").select("corpus", F.lit("photos").alias("step")),
        vectors.select("corpus", F.lit("images").alias("step")),
        tiers.select("corpus", F.col("tier").alias("step")),
    ]
    return union(rows).groupBy("corpus", "step").agg(F.count("*").alias("n"))


def safety(kept: DataFrame, scores: DataFrame, threshold: float) -> DataFrame:
    """Return what is known of the kept images.

    The columns are corpus, images, scored, above (the threshold), flagged and unknown.
    """
    nsfw = scores.where("kind = 'nsfw'").groupBy("image_id").agg(F.max("score").alias("score"))
    return (
        kept.join(nsfw, "image_id", "left")
        .groupBy("corpus")
        .agg(
            F.count("*").alias("images"),
            F.count("score").alias("scored"),
            F.count_if(F.col("score") > threshold).alias("above"),
            F.count_if("sensitive").alias("flagged"),
            F.count_if(F.col("score").isNull() & F.col("sensitive").isNull()).alias("unknown"),
        )
        .select("corpus", "images", "scored", "above", "flagged", "unknown")
    )


def origin_counts(clusters: DataFrame, clusterings: Sequence[str]) -> DataFrame:
    """Return the images of each corpus in each cluster: clustering, cluster, corpus, images."""
    chosen = clusters.where(F.col("clustering_id").isin(list(clusterings)))
    counted = chosen.groupBy("clustering_id", "cluster", "corpus").agg(F.count("*").alias("images"))
    return counted.select(F.col("clustering_id").alias("clustering"), "cluster", "corpus", "images")


def theme_months(clusters: DataFrame, images: DataFrame, clusterings: Sequence[str]) -> DataFrame:
    """Return the dated images of each cluster by month: clustering_id, cluster, month ("YYYY-MM"), images."""
    chosen = clusters.where(F.col("clustering_id").isin(list(clusterings))).select(
        "image_id", "clustering_id", "cluster"
    )
    dated = images.where("created_at IS NOT NULL").select(
        "image_id", F.date_format("created_at", "yyyy-MM").alias("month")
    )
    counted = (
        chosen.join(dated, "image_id").groupBy("clustering_id", "cluster", "month").agg(F.count("*").alias("images"))
    )
    return counted.select("clustering_id", "cluster", "month", "images")


def best_matches(neighbours: DataFrame) -> DataFrame:
    """Return how similar the best matches are: reference, images, nearest, mean, deviation.

    `nearest` counts the images whose best match of all references is in this one; a tie goes to the
    first name.
    """
    best = Window.partitionBy("image_id").orderBy(F.desc("similarity"), "reference")
    return (
        neighbours.where("rank = 1")
        .withColumn("wins", F.row_number().over(best) == 1)
        .groupBy("reference")
        .agg(
            F.count("*").alias("images"),
            F.count_if("wins").alias("nearest"),
            F.mean("similarity").alias("mean"),
            F.coalesce(F.stddev_samp("similarity"), F.lit(0.0)).alias("deviation"),
        )
        .select("reference", "images", "nearest", "mean", "deviation")
    )


def similarity_bins(neighbours: DataFrame, width: float) -> DataFrame:
    """Return a histogram of the best similarities in each reference: reference, edge (lower), images.

    The top bin holds 1.0 itself, so that copies do not stand in a bin beyond it.
    """
    top = round(1.0 / width) - 1
    place = F.least(F.floor(F.col("similarity") / width + F.lit(1e-9)), F.lit(top))
    counted = neighbours.where("rank = 1").groupBy("reference", place.alias("place")).agg(F.count("*").alias("images"))
    return counted.select("reference", (F.col("place") * width).alias("edge"), "images")


def reject_rows(rejects: DataFrame, examples: int) -> DataFrame:
    """Return the first few rejects of each stage, unit, corpus and reason; `count` is how many there are."""
    kind = Window.partitionBy("stage", "unit", "corpus", "reason")
    return (
        rejects.withColumn("count", F.count("*").over(kind))
        .withColumn("place", F.row_number().over(kind.orderBy("key")))
        .where(F.col("place") <= examples)
        .select("stage", "unit", "corpus", "reason", "key", "detail", "count")
    )


def last_runs(runs: DataFrame) -> DataFrame:
    """Return the last run of each stage that ended well."""
    newest = Window.partitionBy("stage").orderBy(F.desc("started_at"), "run_id")
    return (
        runs.where("status = 'ok'")
        .withColumn("nth", F.row_number().over(newest))
        .where("nth = 1")
        .select("stage", "started_at", "seconds", "rows_in", "rows_out", "versions", "config_hash")
    )


def prompt_distances(groups: DataFrame) -> DataFrame:
    """Return corpus, words and distance of the sampled prompts whose text is known.

    Args:
        groups: rows of the table `group_distances`; their number is bounded by the sample, not by the corpora.
    """
    known = groups.where("unit = 'prompts' AND n_words IS NOT NULL")
    return known.select("corpus", F.col("n_words").alias("words"), "distance")
