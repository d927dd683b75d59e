"""Texts to embed: prompts, captions, posts and others, cleaned, each distinct one once."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# As the paper cleans tweets (Chen & Zou 2023, section 3): links and hashtags go.
NOISE = r"(?i)\b(?:https?://|www\.)\S+|(?<![\p{L}\p{N}])[%s][\p{L}\p{M}\p{N}_]+"
# The source of captions that came with the images.
HUMAN = "human caption"
# Without one, a text says nothing.
WORD = r"[\p{L}\p{N}]"
SIGNS = {"keep": "#＃", "drop": "@#＠＃"}


def clean_text(text: Column, mentions: str = "keep") -> Column:
    """Return a post's text without links and hashtags, its white space made single blanks.

    Args:
        text: of a post.
        mentions: of other users: "keep" or "drop".
    """
    return F.trim(F.regexp_replace(F.regexp_replace(text, NOISE % SIGNS[mentions], " "), r"\s+", " "))


def texts(
    images: DataFrame,
    posts: DataFrame,
    captions: DataFrame,
    others: DataFrame | None = None,
    mentions: str = "keep",
) -> DataFrame:
    """Return text_id, source, corpus, text and n_words of each distinct text of a source and corpus.

    Texts without a word are left out.

    Args:
        images: image_id, corpus, prompt and caption, the one that came with the image.
        posts: corpus, text.
        captions: image_id, caption; of one model.
        others: corpus, text; lines that are not UTF-8 are left out.
        mentions: of other users in posts: "keep" or "drop".
    """
    captioned = captions.join(images.select("image_id", "corpus"), "image_id")
    every = (
        _of("prompt", images, F.trim("prompt"))
        .unionByName(_of("caption", captioned, F.trim("caption")))
        .unionByName(_of(HUMAN, images, F.trim("caption")))
        .unionByName(_of("post", posts, clean_text(F.col("text"), mentions)))
    )
    if others is not None:
        every = every.unionByName(_of("text", others.where(~is_broken(F.col("text"))), F.trim("text")))
    words = F.size(F.split("text", r"\s+"))
    return (
        every.where(F.col("text").rlike(WORD))
        .distinct()
        .select(
            id_of("source", "corpus", "text").alias("text_id"),
            "source",
            "corpus",
            "text",
            words.alias("n_words"),
        )
    )


def id_of(source: str | Column, corpus: str, text: str | Column) -> Column:
    """Return the id of a text in `text_embeddings`: one a source, corpus and text."""
    return F.md5(F.concat_ws("\x1f", source, corpus, text))


def is_broken(text: Column) -> Column:
    """Return whether a text was not UTF-8: its reader put U+FFFD for what it could not read."""
    return text.contains("\ufffd")


def text_rejects(others: DataFrame) -> DataFrame:
    """Return the lines that are not UTF-8 as rows of the table `rejects`, but for the stage."""
    shown = F.substring("text", 1, 200)
    return others.where(is_broken(F.col("text"))).select(
        F.lit("text").alias("unit"),
        "corpus",
        F.md5("text").alias("key"),
        F.lit("not_utf8").alias("reason"),
        F.concat(F.lit("must be UTF-8. Got "), shown).alias("detail"),
    )


def _of(source: str, rows: DataFrame, text: Column) -> DataFrame:
    return rows.select(F.lit(source).alias("source"), "corpus", text.alias("text")).where("text IS NOT NULL")


def sample_texts(vectors: DataFrame, there: DataFrame, at_most: int, seed: int) -> DataFrame:
    """Return text_id, kind, n_words and embedding of at most `at_most` texts of each kind.

    A kind is a source of a corpus, such as ``posts captions``. The few ids go to the vectors, which would else be
    shuffled.

    Args:
        vectors: text_id, source, corpus, n_words, embedding.
        there: text_id of the texts to sample from.
        at_most: texts of a kind.
        seed: another seed takes others.
    """
    # "posts texts" are the texts of the posts; "diffusion prompts", "posts captions".
    what = F.when(F.col("source") == "post", "texts").otherwise(F.concat("source", F.lit("s")))
    kind = F.concat_ws(" ", "corpus", what)
    listed = vectors.select("text_id", kind.alias("kind"), "n_words", "embedding")
    ids = listed.select("text_id", "kind").join(there.select("text_id"), "text_id", "left_semi")
    nth = F.row_number().over(Window.partitionBy("kind").orderBy(F.xxhash64("text_id", F.lit(seed)), "text_id"))
    picked = ids.withColumn("nth", nth).where(F.col("nth") <= at_most).select("text_id")
    return listed.join(F.broadcast(picked), "text_id", "left_semi")
