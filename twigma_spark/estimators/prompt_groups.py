"""Prompts that are nearly the same: which of them count as one, and which must be on one side of a split."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators import components
from twigma_spark.estimators.components import Once
from twigma_spark.estimators.near import Reach, close_pairs
from twigma_spark.io.frames import count_rows

# Pivots that a prompt goes to: what is missed is on both sides of a split, so more are asked than of images.
BUCKETS = 4


@dataclass(frozen=True)
class Nearness:
    """Which prompts are near.

    Attributes:
        similarity: least cosine of their vectors.
        seed: of the search.
    """

    similarity: float
    seed: int = 0


def group_prompts(vectors: DataFrame, near: Nearness, once: Once) -> DataFrame:
    """Return text_id, leader_id and group_id of each prompt that another one of its corpus is near to.

    A group is a connected component of near prompts. Its leader is the prompt that most are near to, the least id of
    several. A prompt that is near to the leader counts as it; one that is connected by others only is its own leader.

    Args:
        vectors: text_id, corpus, embedding; usable vectors of one length, one a prompt.
        near: which prompts are near.
        once: computes a frame one time and returns what was computed.
    """
    prompts = once(vectors.select(F.col("text_id").alias("image_id"), "corpus", "embedding", F.lit(0).alias("turn")))
    reach = Reach(near.similarity, near.seed, BUCKETS)
    edges = once(close_pairs(prompts, count_rows(prompts), reach).select("a", "b"))
    both = edges.union(edges.select("b", "a"))
    members = once(components.on_spark(edges, once))
    degrees = both.groupBy(F.col("a").alias("node")).agg(F.count("*").alias("near"))
    first = F.min_by("node", F.struct(-F.col("near"), "node")).alias("leader")
    leaders = members.join(degrees, "node").groupBy("group").agg(first)
    at_leader = both.union(edges.select("a", "a")).union(edges.select("b", "b")).distinct().toDF("node", "leader")
    known = members.join(leaders, "group").join(at_leader.withColumn("near", F.lit(True)), ["node", "leader"], "left")
    leader_id = F.when(F.col("near"), F.col("leader")).otherwise(F.col("node"))
    return known.select(F.col("node").alias("text_id"), leader_id.alias("leader_id"), F.col("group").alias("group_id"))
