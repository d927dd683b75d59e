"""Texts to embed: prompts, captions and posts, cleaned, each distinct one once."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# As the paper cleans tweets (Chen & Zou 2023, section 3): links, mentions and hashtags go.
NOISE = r"(?i)\b(?:https?://|www\.)\S+|(?<![\p{L}\p{N}])[@#＠＃][\p{L}\p{M}\p{N}_]+"


def cleaned(text: Column) -> Column:
    """Return a post's text without links, mentions and hashtags, its white space made single blanks."""
    return F.trim(F.regexp_replace(F.regexp_replace(text, NOISE, " "), r"\s+", " "))


def texts(images: DataFrame, tweets: DataFrame, captions: DataFrame) -> DataFrame:
    """Return text_id, source, corpus, text and n_words of each distinct text of a source and corpus.

    Texts without a word are left out.

    Args:
        images: image_id, corpus, prompt.
        tweets: corpus, text.
        captions: image_id, caption; of one model.
    """
    captioned = captions.join(images.select("image_id", "corpus"), "image_id")
    every = (
        _of("prompt", images, F.trim("prompt"))
        .unionByName(_of("caption", captioned, F.trim("caption")))
        .unionByName(_of("tweet", tweets, cleaned(F.col("text"))))
    )
    words = F.size(F.split("text", r"\s+"))
    return (
        every.where(F.col("text").rlike(r"[\p{L}\p{N}]"))
        .distinct()
        .select(
            F.md5(F.concat_ws("\x1f", "source", "corpus", "text")).alias("text_id"),
            "source",
            "corpus",
            "text",
            words.alias("n_words"),
        )
    )


def _of(source: str, rows: DataFrame, text: Column) -> DataFrame:
    return rows.select(F.lit(source).alias("source"), "corpus", text.alias("text")).where("text IS NOT NULL")
