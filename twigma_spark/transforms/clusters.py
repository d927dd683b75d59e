"""Assignments to clusters, numbered by falling size."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.transforms.samples import group, unit


def sizes(assigned: DataFrame) -> DataFrame:
    """Return cluster, size and mean_distance of the clusters that have images, the largest first.

    Args:
        assigned: image_id, corpus, cluster, distance.
    """
    counted = assigned.groupBy("cluster").agg(F.count("*").alias("size"), F.avg("distance").alias("mean_distance"))
    return counted.orderBy(F.desc("size"), "cluster").select("cluster", "size", "mean_distance")


def renumber(assigned: DataFrame, order: Sequence[int]) -> DataFrame:
    """Return the assignments with the cluster `order[0]` as 0, `order[1]` as 1, and so on.

    Args:
        assigned: image_id, corpus, cluster, distance.
        order: the numbers that occur.
    """
    numbers = F.create_map(*[F.lit(int(n)) for pair in zip(order, range(len(order)), strict=True) for n in pair])
    cluster = F.element_at(numbers, F.col("cluster")) if order else F.col("cluster")
    return assigned.select("image_id", "corpus", cluster.alias("cluster"), "distance")


def share_sums(clusters: DataFrame, images: DataFrame) -> DataFrame:
    """Return what the share of a corpus in a cluster and its interval over groups are made of; one small row each.

    Columns: clustering_id, corpus, cluster, hits, total (images), groups (posts, prompts, artists), unit (the
    most common), and the sums over groups hits_squared, hits_total, total_squared. Clusters that hold none of
    a corpus have no row.

    Args:
        clusters: rows of the table `clusters`.
        images: rows of the table `images`.
    """
    keys = ["clustering_id", "corpus"]
    about = images.select("image_id", group().alias("group"), unit().alias("unit"))
    rows = clusters.select(*keys, "cluster", "image_id").join(about, "image_id")
    hit = rows.groupBy(*keys, "cluster", "group").agg(F.count("*").alias("hits"))
    whole = rows.groupBy(*keys, "group").agg(F.count("*").alias("total"), F.first("unit").alias("unit"))
    corpora = whole.groupBy(*keys).agg(
        F.sum("total").alias("total"),
        F.count("*").alias("groups"),
        F.sum(F.col("total") * F.col("total")).alias("total_squared"),
        F.mode("unit").alias("unit"),
    )
    sums = (
        hit.join(whole.select(*keys, "group", F.col("total").alias("own")), [*keys, "group"])
        .groupBy(*keys, "cluster")
        .agg(
            F.sum("hits").alias("hits"),
            F.sum(F.col("hits") * F.col("hits")).alias("hits_squared"),
            F.sum(F.col("hits") * F.col("own")).alias("hits_total"),
        )
    )
    return sums.join(corpora, keys).select(
        *keys, "cluster", "hits", "total", "groups", "unit", "hits_squared", "hits_total", "total_squared"
    )
