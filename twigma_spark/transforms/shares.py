"""Counts that shares are made of: corpora by cluster, clusters by month."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def corpus_counts(clusters: DataFrame) -> DataFrame:
    """Return cluster, corpus, n (images of both), in_cluster and in_corpus (images of either).

    Only pairs that occur have a row.

    Args:
        clusters: cluster, corpus; one row an image.
    """
    counts = clusters.groupBy("cluster", "corpus").agg(F.count("*").alias("n"))
    return counts.select(
        "cluster",
        "corpus",
        "n",
        F.sum("n").over(Window.partitionBy("cluster")).alias("in_cluster"),
        F.sum("n").over(Window.partitionBy("corpus")).alias("in_corpus"),
    )


def monthly_counts(clusters: DataFrame, images: DataFrame) -> DataFrame:
    """Return month (yyyy-MM, in the session's time zone), cluster, n and in_month (images of the month).

    Every cluster has a row in every month that has images, with n = 0 where none is its own, so that a
    series has no holes but those of the data. Images without a time are left out.

    Args:
        clusters: image_id, cluster.
        images: image_id, created_at.
    """
    month = F.date_format("created_at", "yyyy-MM").alias("month")
    dated = clusters.select("image_id", "cluster").join(
        images.where("created_at IS NOT NULL").select("image_id", month), "image_id"
    )
    totals = dated.groupBy("month").agg(F.count("*").alias("in_month"))
    grid = totals.crossJoin(clusters.select("cluster").distinct())
    counts = dated.groupBy("month", "cluster").agg(F.count("*").alias("n"))
    n = F.coalesce(F.col("n"), F.lit(0)).alias("n")
    return grid.join(counts, ["month", "cluster"], "left").select("month", "cluster", n, "in_month")
