"""Posts and their pictures, flattened from the X API's pages."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

NUMBERED = ("like_count", "retweet_count", "reply_count", "quote_count")


def posts(pages: DataFrame, corpus: str) -> DataFrame:
    """Return every post: the columns of `tweets`, media_keys, and `reason` where it cannot be used.

    Refused are posts without an id (``tweet_without_id``) and ones that came before (``duplicate_key``).
    """
    flat = pages.select("file", "page", F.posexplode("data").alias("nth", "post"))
    users = _deduplicate_included(pages, "users", "id").select(
        F.col("key").alias("author_id"),
        F.col("item.public_metrics.followers_count").alias("author_followers"),
    )
    seen = Window.partitionBy("tweet_id").orderBy("page", "nth")
    numbered = flat.select("file", "page", "nth", F.col("post.id").alias("tweet_id"), "post").withColumn(
        "seen", F.row_number().over(seen)
    )
    reason = F.when(F.col("tweet_id").isNull(), "tweet_without_id").when(F.col("seen") > 1, "duplicate_key")
    return (
        numbered.withColumn("author_id", F.col("post.author_id"))
        .join(users, "author_id", "left")
        .select(
            reason.alias("reason"),
            F.concat_ws("#", "file", "nth").alias("place"),
            "tweet_id",
            F.lit(corpus).alias("corpus"),
            "author_id",
            "author_followers",
            F.to_timestamp("post.created_at").alias("created_at"),
            "post.text",
            "post.lang",
            F.transform("post.entities.hashtags", lambda h: F.lower(h["tag"])).alias("hashtags"),
            *[F.col(f"post.public_metrics.{n}").alias(n) for n in NUMBERED],
            "post.possibly_sensitive",
            "post.source",
            F.lit(None).cast("timestamp").alias("collected_at"),
            F.col("post.attachments.media_keys").alias("media_keys"),
        )
    )


def tweets(posts: DataFrame, columns: list[str]) -> DataFrame:
    """Return the usable posts as rows of `tweets`."""
    return posts.where("reason IS NULL").select(*columns)


def media(posts: DataFrame, pages: DataFrame, columns: list[str]) -> DataFrame:
    """Return the pictures of the usable posts as rows of `media`, one a post and position."""
    described = _deduplicate_included(pages, "media", "media_key").select("item.*")
    shown = posts.where("reason IS NULL").select(
        "corpus", "tweet_id", F.posexplode("media_keys").alias("position", "media_key")
    )
    return shown.join(described, "media_key", "left").select(*columns)


def post_rejects(posts: DataFrame, pages: DataFrame, corpus: str) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for posts and pages that cannot be used."""
    rows = posts.where("reason IS NOT NULL").select(
        F.when(F.col("tweet_id").isNull(), "metadata").otherwise("tweet").alias("unit"),
        "corpus",
        F.coalesce("tweet_id", "place").alias("key"),
        "reason",
        F.concat(F.lit("at "), "place").alias("detail"),
    )
    unread = pages.where("bad IS NOT NULL").select(
        F.lit("metadata").alias("unit"),
        F.lit(corpus).alias("corpus"),
        F.concat_ws("#", "file", "page").alias("key"),
        F.lit("metadata_unreadable").alias("reason"),
        F.substring("bad", 1, 200).alias("detail"),
    )
    return rows.unionByName(unread)


def _deduplicate_included(pages: DataFrame, kind: str, key: str) -> DataFrame:
    """Return one `item` a key; of several always the same, whatever the order of the pages."""
    items = pages.select(F.explode(f"includes.{kind}").alias("item"))
    return items.groupBy(F.col(f"item.{key}").alias("key")).agg(F.min("item").alias("item"))
