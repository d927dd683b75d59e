"""Samples of the corpora for statistics on the driver, and what their images come in."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# What images come in: those of one prompt, one post or one artist are alike and are resampled together. The prompt
# comes first: where posts have prompts, the posts of one prompt are alike too.
UNITS = {"prompt_id": "prompts", "post_id": "posts", "artist": "artists"}


def group() -> Column:
    """Return the group of a row of `images`: its prompt, else its post, else its artist, else itself."""
    return F.coalesce(*UNITS, "image_id")


def unit() -> Column:
    """Return what the group of a row of `images` is: posts, prompts, artists or images."""
    return F.coalesce(*[F.when(F.col(c).isNotNull(), name) for c, name in UNITS.items()], F.lit("images"))


def sample_vectors(vectors: DataFrame, images: DataFrame, at_most: int, seed: int) -> DataFrame:
    """Return image_id, corpus, embedding, group and unit of at most `at_most` images a corpus.

    The sample is the same for a seed, whatever the partitioning.

    Args:
        vectors: image_id, corpus, embedding.
        images: rows of the table `images`.
        at_most: images a corpus.
        seed: another seed takes others.
    """
    about = images.select("image_id", group().alias("group"), unit().alias("unit"))
    described = sample_ids(vectors, at_most, seed).join(about, "image_id")
    return _with_vectors(vectors, described).select("image_id", "corpus", "embedding", "group", "unit")


def sample_ids(vectors: DataFrame, at_most: int, seed: int) -> DataFrame:
    """Return image_id of at most `at_most` images a corpus, those of `sample_vectors`; no vector is read.

    Args:
        vectors: image_id, corpus.
        at_most: images a corpus.
        seed: another seed takes others.
    """
    nth = F.row_number().over(Window.partitionBy("corpus").orderBy(_dice("image_id", seed), "image_id"))
    picked = vectors.select("image_id", "corpus").withColumn("nth", nth)
    return picked.where(F.col("nth") <= at_most).select("image_id")


def in_groups(vectors: DataFrame, images: DataFrame, at_most: int, per_group: int, seed: int) -> DataFrame:
    """Return the vectors of whole groups with what the images belong to; the last group may be cut off.

    Groups come in random order until there are `at_most` images of the corpus, so that pairs of images of one
    prompt or artist are there although corpora are large. Columns: image_id, corpus, embedding, group, unit,
    post_id, prompt_id, artist, n_words (of the prompt).

    Args:
        vectors: image_id, corpus, embedding.
        images: rows of the table `images`.
        at_most: images a corpus.
        per_group: images of one group; an artist may have thousands.
        seed: another seed takes others.
    """
    ids = images.select("image_id", "prompt", group().alias("group"), unit().alias("unit"), *UNITS)
    listed = vectors.select("image_id", "corpus").join(ids, "image_id")
    own = Window.partitionBy("corpus", "group").orderBy(_dice("image_id", seed), "image_id")
    few = listed.withColumn("place", F.row_number().over(own)).where(F.col("place") <= per_group)
    nth = F.row_number().over(Window.partitionBy("corpus").orderBy(_dice("group", seed), "group", "place"))
    picked = few.withColumn("nth", nth).where(F.col("nth") <= at_most).drop("corpus")
    n_words = F.when(F.col("prompt").isNotNull(), F.size(F.split(F.trim("prompt"), r"\s+")))
    return _with_vectors(vectors, picked).select(
        "image_id", "corpus", "embedding", "group", "unit", *UNITS, n_words.alias("n_words")
    )


def _with_vectors(vectors: DataFrame, picked: DataFrame) -> DataFrame:
    """Return the few picked rows with their vectors; the rows go to the vectors, which would else be shuffled."""
    return vectors.join(F.broadcast(picked), "image_id")


def _dice(column: str, seed: int) -> Column:
    return F.xxhash64(column, F.lit(seed))
