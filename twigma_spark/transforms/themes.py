"""Words that tell a cluster from the others: class-based TF-IDF of its captions."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

# What captioners write around what they see.
BOILERPLATE = (
    "image",
    "picture",
    "photo",
    "photograph",
    "photography",
    "close",
    "view",
    "background",
    "arafed",
)
SHORTEST = 3


def theme_words(captions: DataFrame, words: int) -> DataFrame:
    """Return cluster, rank (from 1), term and weight: the `words` heaviest terms of each cluster.

    The weight is tf(t, c) · log(1 + A / f(t)): occurrences in the cluster times the log of the mean number
    of words a cluster over the occurrences in all (Grootendorst 2022, BERTopic, section 3.3). Equal weights
    are in order of the term.

    Args:
        captions: cluster, caption; captions may be null.
        words: terms a cluster.
    """
    spoken = F.regexp_extract_all(F.lower("caption"), F.lit(r"(\p{L}[\p{L}'-]*\p{L})"), 1)
    terms = captions.select("cluster", F.explode(spoken).alias("term"))
    terms = terms.where((F.length("term") >= SHORTEST) & ~F.col("term").isin(*ENGLISH_STOP_WORDS, *BOILERPLATE))
    counted = terms.groupBy("cluster", "term").agg(F.count("*").alias("tf"))
    everywhere = Window.partitionBy("term")
    total = counted.agg(F.sum("tf").alias("total"), F.countDistinct("cluster").alias("clusters"))
    weight = F.col("tf") * F.log1p(F.col("total") / F.col("clusters") / F.col("f"))
    heaviest = Window.partitionBy("cluster").orderBy(F.desc("weight"), "term")
    return (
        counted.withColumn("f", F.sum("tf").over(everywhere))
        .crossJoin(F.broadcast(total))
        .withColumn("weight", weight)
        .withColumn("rank", F.row_number().over(heaviest))
        .where(F.col("rank") <= words)
        .select("cluster", "rank", "term", "weight")
    )
