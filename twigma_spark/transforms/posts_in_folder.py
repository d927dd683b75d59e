"""Posts of a folder of images whose metadata has likes, authors or ids of posts."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.transforms import values
from twigma_spark.transforms.candidates import COUNTS, OF_POST
from twigma_spark.transforms.columns import fill_columns


def with_posts(metadata: DataFrame, corpus: str) -> DataFrame:
    """Return the metadata with the post_id of each row: its post_id, else the corpus and the file.

    It is null where the row says nothing of a post: none of `OF_POST`.

    Args:
        metadata: row, bad, file, and those of `OF_POST` that there are, as strings.
        corpus: name of the corpus.
    """
    stated = F.coalesce(*[_text(name) for name in OF_POST if name in metadata.columns])
    own = F.concat_ws("/", F.lit(corpus), "file")
    return metadata.withColumn("post_id", F.when(stated.isNotNull(), F.coalesce(_text("post_id"), own)))


def group_posts(metadata: DataFrame, corpus: str, schema: t.StructType) -> DataFrame:
    """Return rows of `posts`, one a post; of several rows of a post the first that has a value gives it.

    Args:
        metadata: what `with_posts` returns, with created_at, and sensitive where there is one, as strings.
        corpus: name of the corpus.
        schema: that of `posts`.
    """
    used = metadata.where("bad IS NULL AND file IS NOT NULL AND post_id IS NOT NULL")
    # A file that is named again is a reject, and says nothing of its post either.
    nth = F.row_number().over(Window.partitionBy("file").orderBy("row"))
    used = used.withColumn("nth", nth).where("nth = 1")
    columns = {
        "author_id": _text("author_id"),
        "created_at": values.post_timestamp(F.col("created_at")),
        **{name: values.count(F.col(name)) for name in COUNTS if name in used.columns},
    }
    if "sensitive" in used.columns:
        columns["possibly_sensitive"] = values.flag(F.col("sensitive"))
    first = [
        F.min(F.when(v.isNotNull(), F.struct("row", v.alias("value"))))["value"].alias(n) for n, v in columns.items()
    ]
    posts = used.groupBy("post_id").agg(*first).withColumns({"corpus": F.lit(corpus), "platform": F.lit("file")})
    return fill_columns(posts, schema)


def _text(name: str) -> Column:
    """Return a column's text; null where it is blank."""
    trimmed = F.trim(F.col(name))
    return F.when(trimmed != "", trimmed)
