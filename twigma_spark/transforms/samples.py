"""Samples of the corpora for statistics on the driver."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

# What images come in: those of one post, one prompt or one artist are alike and are resampled together.
UNITS = {"tweet_id": "posts", "prompt_id": "prompts", "artist": "artists"}


def sampled(vectors: DataFrame, images: DataFrame, at_most: int, seed: int) -> DataFrame:
    """Return image_id, corpus, embedding, group and unit of at most `at_most` images a corpus.

    The sample is the same for a seed, whatever the partitioning.

    Args:
        vectors: image_id, corpus, embedding.
        images: rows of the table `images`.
        at_most: images a corpus.
        seed: another seed takes others.
    """
    about = images.select("image_id", *UNITS)
    group = F.coalesce(*UNITS, "image_id")
    unit = F.coalesce(*[F.when(F.col(c).isNotNull(), name) for c, name in UNITS.items()], F.lit("images"))
    nth = F.row_number().over(Window.partitionBy("corpus").orderBy(F.xxhash64("image_id", F.lit(seed)), "image_id"))
    picked = vectors.select("image_id", "corpus").withColumn("nth", nth).where(F.col("nth") <= at_most)
    return (
        vectors.join(picked.select("image_id"), "image_id", "left_semi")
        .join(about, "image_id")
        .select("image_id", "corpus", "embedding", group.alias("group"), unit.alias("unit"))
    )
