"""Which images annotators see, under names that say nothing of their cluster."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def item(seed: int) -> Column:
    """Return the blind name of an image: 12 hex digits of a hash of its id and the seed."""
    return F.substring(F.sha2(F.concat_ws("/", F.lit("item"), F.lit(str(seed)), "image_id"), 256), 1, 12)


def sheet(
    clusters: DataFrame, images: DataFrame, scores: DataFrame, per_cluster: int, threshold: float, seed: int
) -> DataFrame:
    """Return item, image_id, cluster and unsure of a random sample of each cluster, in a random order.

    Images that score above the threshold or were flagged are left out; `unsure` are those with neither a
    score nor a flag, which the page blurs.

    Args:
        clusters: image_id and cluster of one clustering.
        images: rows of the table `images`.
        scores: rows of the table `scores`; the highest NSFW score of any scorer counts.
        per_cluster: images of a cluster.
        threshold: NSFW score above which an image is left out.
        seed: another seed takes others.
    """
    nsfw = scores.where("kind = 'nsfw'").groupBy("image_id").agg(F.max("score").alias("score"))
    about = images.select("image_id", "sensitive").join(nsfw, "image_id", "left")
    safe = (F.coalesce("score", F.lit(0.0)) <= threshold) & ~F.coalesce("sensitive", F.lit(False))
    at_random = Window.partitionBy("cluster").orderBy("item")
    return (
        clusters.select("image_id", "cluster")
        .join(about.where(safe), "image_id")
        .withColumn("unsure", F.col("score").isNull() & F.col("sensitive").isNull())
        .withColumn("item", item(seed))
        .withColumn("nth", F.row_number().over(at_random))
        .where(F.col("nth") <= per_cluster)
        .orderBy(F.sha2(F.concat("item", F.lit("order")), 256))
        .select("item", "image_id", "cluster", "unsure")
    )


def join_captions(clusters: DataFrame, captions: DataFrame, seed: int) -> DataFrame:
    """Return item, cluster and caption of every image of a clustering; of several captioners the last by name."""
    written = captions.groupBy("image_id").agg(F.max_by("caption", "model_id").alias("caption"))
    return clusters.join(written, "image_id", "left").select(
        item(seed).alias("item"), "cluster", F.coalesce("caption", F.lit("")).alias("caption")
    )
