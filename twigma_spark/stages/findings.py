"""What the stages found, as plain data that the sample world's truth can be held against."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.sample.truth import Findings
from twigma_spark.stages.stage import Frames

Key = tuple[str, str]


def collect(tables: Frames) -> Findings:
    """Return the findings; the tables are those of the sample world, so they are small.

    Args:
        tables: images, embeddings, rejects, duplicates, neighbours, clusters and results.
    """
    keys = tables["images"].select("image_id", F.struct("corpus", "source_key").alias("key"))
    embedded = keys.join(tables["embeddings"].select("image_id").distinct(), "image_id", "left_semi")
    rejects = tables["rejects"].select("unit", "corpus", "key", "reason").collect()
    return Findings(
        images={_key(row["key"]) for row in embedded.collect()},
        rejects=[(row["unit"], f"{row['corpus']}/{row['key']}", row["reason"]) for row in rejects],
        duplicates=_duplicates(tables["duplicates"], keys),
        kl=_divergences(tables["results"]),
        neighbours=_neighbours(tables["neighbours"], keys),
        changes=_changes(tables["results"]),
        clusters=_clusters(tables["clusters"], keys),
        arrows=_arrows(tables["results"]),
    )


def _changes(results: DataFrame) -> dict[str, tuple[float, float, float]]:
    rows = results.where("analysis = 'likes_regression' AND metric = 'negative_binomial' AND low IS NOT NULL")
    ends = rows.where("high IS NOT NULL").select("group", "estimate", "low", "high").collect()
    return {row["group"]: (row["estimate"], row["low"], row["high"]) for row in ends}


def _clusters(clusters: DataFrame, keys: DataFrame) -> dict[Key, int]:
    """Return the theme cluster of each image of the posts, in the sample's own clustering `themes`."""
    rows = clusters.where("clustering_id = 'themes'").join(keys, "image_id").select("key", "cluster").collect()
    return {_key(row["key"]): row["cluster"] for row in rows}


def _arrows(results: DataFrame) -> dict[int, int]:
    rows = results.where("analysis = 'trends' AND metric = 'arrow' AND estimate IS NOT NULL").collect()
    return {int(row["group"]): int(row["estimate"]) for row in rows}


def _duplicates(duplicates: DataFrame, keys: DataFrame) -> dict[Key, tuple[Key, str]]:
    canonical = keys.withColumnsRenamed({"image_id": "canonical_id", "key": "canonical"})
    rows = duplicates.join(keys, "image_id").join(canonical, "canonical_id").collect()
    return {_key(row["key"]): (_key(row["canonical"]), row["tier"]) for row in rows}


def _divergences(results: DataFrame) -> dict[Key, float]:
    """Return the smoothed divergences; the plug-in ones may all be infinite, which has no order."""
    rows = results.where("analysis = 'distinctiveness' AND metric = 'kl_kt'").collect()
    return {_pair(row["group"]): row["estimate"] for row in rows}


def _neighbours(neighbours: DataFrame, keys: DataFrame) -> dict[Key, list[Key]]:
    """Return the five nearest over all references together, nearest first."""
    other = keys.withColumnsRenamed({"image_id": "neighbour_id", "key": "other"})
    near = F.sort_array(F.collect_list(F.struct((-F.col("similarity")).alias("far"), "other"))).alias("near")
    rows = neighbours.join(keys, "image_id").join(other, "neighbour_id").groupBy("key").agg(near).collect()
    return {_key(row["key"]): [_key(each["other"]) for each in row["near"]] for row in rows}


def _key(row: Key) -> Key:
    return (row[0], row[1])


def _pair(group: str) -> Key:
    one, _, other = group.partition("|")
    return (one, other)
