"""Words that tell a cluster from the others: class-based TF-IDF of its captions."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from twigma_spark.io import ddl

# What captioners say of any picture; "arafed" and "araffe" are inventions of BLIP.
BOILERPLATE = frozenset({
    "image", "images", "picture", "pictures", "photo", "photos", "photograph", "photographs", "pic",
    "close", "closeup", "view", "shot", "background", "foreground", "featuring", "features", "depicting",
    "depicts", "showing", "shows", "shown", "seen", "looking", "left", "right", "middle", "center",
    "centre", "large", "small", "big", "little", "lot", "bunch", "couple", "group", "various", "arafed",
    "araffe",
})  # fmt: skip
# Words of the stop list that name things one can see.
THINGS = frozenset({"bill", "empty", "fire", "mill", "thick", "thin"})
STOP_WORDS = (ENGLISH_STOP_WORDS | BOILERPLATE) - THINGS

# A term is common in a cluster where more than this share of the cluster's texts have it.
MOST = 0.5

# Letters of any script, two at least; an apostrophe ends a word, so that its "s" falls away.
WORD = r"\p{L}\p{M}*(?:\p{L}\p{M}*)+"


def theme_words(captions: DataFrame, words: int) -> DataFrame:
    """Return cluster, rank (from 1), term and weight of each cluster's most telling words.

    The weight is tf log(1 + A / f): tf is the term's share of the cluster's words, f its count over all
    clusters and A the mean number of words of a cluster (Grootendorst 2022, BERTopic, equation 2, with tf
    normalised as in its code). Equal weights are in order of the term. Terms that are in more than half of the texts of
    every cluster tell none of them apart and are left out, as "style" where each prompt asks for one.

    Args:
        captions: cluster, caption; one row an image. Captions may be null.
        words: terms kept a cluster.
    """
    counts = _without_common_terms(_count_terms(captions))
    in_cluster, of_term = Window.partitionBy("cluster"), Window.partitionBy("term")
    sized = counts.withColumn("size", F.sum("n").over(in_cluster)).withColumn("f", F.sum("n").over(of_term))
    mean_size = counts.agg((F.sum("n") / F.countDistinct("cluster")).alias("a"))
    weight = F.col("n") / F.col("size") * F.log1p(F.col("a") / F.col("f"))
    weighed = sized.crossJoin(F.broadcast(mean_size)).withColumn("weight", weight)
    rank = F.row_number().over(in_cluster.orderBy(F.desc("weight"), "term"))
    return weighed.withColumn("rank", rank).where(F.col("rank") <= words).select("cluster", "rank", "term", "weight")


def is_stop_word(column: str) -> Column:
    """Return whether a column has one of STOP_WORDS."""
    # `isin` makes some calls to the JVM for each of the 350 words.
    return F.expr(f"{column} IN ({', '.join(map(ddl.text, sorted(STOP_WORDS)))})")


def _count_terms(captions: DataFrame) -> DataFrame:
    """Return cluster, term, n (how often the cluster has the term) and share (of its texts that have it)."""
    said = captions.where("caption IS NOT NULL").select("cluster", split_words(F.col("caption")).alias("words"))
    texts = said.groupBy("cluster").agg(F.count("*").alias("texts"))
    in_text = F.size(F.filter("words", lambda word: word == F.col("term")))
    terms = said.withColumn("term", F.explode(F.array_distinct("words"))).withColumn("in_text", in_text)
    counts = terms.where(~is_stop_word("term")).groupBy("cluster", "term")
    counted = counts.agg(F.sum("in_text").alias("n"), F.count("*").alias("with_term")).join(
        F.broadcast(texts), "cluster"
    )
    return counted.select("cluster", "term", "n", (F.col("with_term") / F.col("texts")).alias("share"))


def _without_common_terms(counts: DataFrame) -> DataFrame:
    """Return cluster, term and n without terms that are in most texts of every one of several clusters."""
    clusters = counts.agg(F.countDistinct("cluster").alias("clusters"))
    of_term = Window.partitionBy("term")
    most = F.count(F.when(F.col("share") > MOST, 1)).over(of_term)
    kept = counts.withColumn("most", most).crossJoin(F.broadcast(clusters))
    return kept.where("clusters = 1 OR most < clusters").select("cluster", "term", "n")


def split_words(text: Column) -> Column:
    """Return the words of a text in lower case, as an array."""
    return F.regexp_extract_all(F.lower(text), F.lit(WORD), F.lit(0))
