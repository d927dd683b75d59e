"""Posts as their platforms gave them, taken out of pages; each with what its page says of its author and pictures."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.schemas import PLATFORMS, RAW_POSTS
from twigma_spark.transforms import values

# What tells posts apart and says what belongs to them.
HEAD = "id STRING, author_id STRING, attachments STRUCT<media_keys: ARRAY<STRING>>"


def split_pages(pages: DataFrame, corpus: str) -> DataFrame:
    """Return every post: the columns of `raw_posts`, and `reason` and `detail` where it cannot be used.

    Such are pages that are none (``metadata_unreadable``), posts without an id (``post_without_id``), ones that came
    before, in the order of the files' names (``duplicate_key``), and those of a platform that is not known
    (``unknown_platform``).

    Args:
        pages: what `io.pages.read_pages` returns.
        corpus: name of the corpus.
    """
    keyed = pages.select("*", _each("users", "id").alias("user_ids"), _each("media", "media_key").alias("media_keys"))
    # Taken apart outer: Spark would else do all of this twice, the first time to see whether there is a post.
    every = keyed.select(
        "file", "page", "platform", "collected_at", F.substring("bad", 1, 200).alias("bad"),
        F.posexplode_outer(_posts_with_includes()).alias("position", "post"),
    ).where("bad IS NOT NULL OR position IS NOT NULL")  # fmt: skip
    flat = every.select("*", "post.*").drop("post")
    seen = F.row_number().over(Window.partitionBy("post_id").orderBy("file", "page", "position"))
    known = F.col("platform").isin(*PLATFORMS)
    reason = (
        F.when(F.col("bad").isNotNull(), "metadata_unreadable")
        .when(F.col("post_id").isNull(), "post_without_id")
        .when(F.col("seen") > 1, "duplicate_key")
        .when(~known, "unknown_platform")
    )
    place = F.concat(F.lit("at "), _place("position"))
    columns = {
        "corpus": F.lit(corpus),
        "collected_at": values.post_timestamp(F.col("collected_at")),
        "reason": reason,
        "detail": F.coalesce("bad", F.when(known, place).otherwise(F.concat(F.lit("platform: "), "platform"))),
    }
    return flat.withColumn("seen", seen).withColumns(columns).select(*RAW_POSTS.column_names, "reason", "detail")


def usable_raw_posts(split: DataFrame) -> DataFrame:
    """Return rows of `raw_posts`: those of `split_pages` that can be used."""
    return split.where("reason IS NULL").select(*RAW_POSTS.column_names)


def page_rejects(split: DataFrame) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for the rows of `split_pages` that cannot be used."""
    place = F.when(F.col("position").isNull(), _place("page")).otherwise(_place("position"))
    return split.where("reason IS NOT NULL").select(
        F.when(F.col("post_id").isNull(), "metadata").otherwise("post").alias("unit"),
        "corpus",
        F.coalesce("post_id", place).alias("key"),
        "reason",
        "detail",
    )


def _place(number: str) -> Column:
    return F.concat_ws("#", "file", number)


def _each(items: str, name: str) -> Column:
    return F.transform(items, lambda item: item[name])


def _find(items: str, keys: str, key: Column) -> Column:
    """Return the first item with a key; null where there is none."""
    # Spark 3.5 takes a column as the value only so.
    place = F.call_function("array_position", F.col(keys), key)
    return F.get(items, place.cast("int") - 1)


def _posts_with_includes() -> Column:
    """Return the posts of a page as structs: json, post_id, author and media.

    What belongs to a post is looked up before the page is taken apart: else each post would carry the whole page. The
    keys are columns of their own: a page of X has 500 posts, and a search through maps for each would take a second.
    """
    heads = F.transform("data", lambda text: F.struct(text.alias("json"), F.from_json(text, HEAD).alias("head")))

    def with_includes(post: Column) -> Column:
        head = post["head"]
        return F.struct(
            post["json"].alias("json"),
            F.when(F.trim(head["id"]) != "", head["id"]).alias("post_id"),
            _find("users", "user_ids", head["author_id"]).alias("author"),
            F.array_compact(
                F.transform(head["attachments"]["media_keys"], lambda key: _find("media", "media_keys", key))
            ).alias("media"),
        )

    return F.transform(heads, with_includes)
