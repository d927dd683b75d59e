"""Assignments to clusters, numbered by falling size."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def sizes(assigned: DataFrame) -> DataFrame:
    """Return cluster, size and mean_distance of the clusters that have images, the largest first.

    Args:
        assigned: image_id, corpus, cluster, distance.
    """
    counted = assigned.groupBy("cluster").agg(F.count("*").alias("size"), F.avg("distance").alias("mean_distance"))
    return counted.orderBy(F.desc("size"), "cluster").select("cluster", "size", "mean_distance")


def renumbered(assigned: DataFrame, order: Sequence[int]) -> DataFrame:
    """Return the assignments with the cluster `order[0]` as 0, `order[1]` as 1, and so on.

    Args:
        assigned: image_id, corpus, cluster, distance.
        order: the numbers that occur.
    """
    numbers = F.create_map(*[F.lit(int(n)) for pair in zip(order, range(len(order)), strict=True) for n in pair])
    cluster = numbers[F.col("cluster")] if order else F.col("cluster")
    return assigned.select("image_id", "corpus", cluster.alias("cluster"), "distance")
