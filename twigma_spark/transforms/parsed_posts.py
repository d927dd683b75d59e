"""Posts and their pictures, flattened from pages."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.transforms import values

NUMBERED = ("like_count", "retweet_count", "reply_count", "quote_count")


def parse_posts(pages: DataFrame, corpus: str) -> DataFrame:
    """Return every post: the columns of `posts`, media_keys, `unusable`, and `reason` where it cannot be used.

    Refused are posts without an id (``post_without_id``) and ones that came before (``duplicate_key``). `unusable`
    lists values of which nothing can be made; they are null.
    """
    flat = pages.select("file", "page", "platform", "collected_at", F.posexplode("data").alias("nth", "post"))
    users = _deduplicate_included(pages, "users", "id").select(
        F.col("key").alias("author_id"), F.col("item.public_metrics.followers_count").alias("followers")
    )
    seen = Window.partitionBy("post_id").orderBy("page", "nth")
    post_id = F.when(F.trim("post.id") != "", F.col("post.id"))
    numbered = flat.select(
        "file", "page", "nth", "platform", "collected_at", post_id.alias("post_id"), "post"
    ).withColumn("seen", F.row_number().over(seen))
    reason = F.when(F.col("post_id").isNull(), "post_without_id").when(F.col("seen") > 1, "duplicate_key")
    made = _values()
    keys = F.col("post.attachments.media_keys")
    without_key = F.when(F.exists(keys, lambda key: key.isNull()), F.array(F.lit("media_keys: null")))
    return (
        numbered.withColumn("author_id", F.col("post.author_id"))
        .join(users, "author_id", "left")
        .select(
            reason.alias("reason"),
            F.concat_ws("#", "file", "nth").alias("place"),
            "post_id",
            "platform",
            F.lit(corpus).alias("corpus"),
            "author_id",
            *[value.alias(name) for name, (_, value) in made.items()],
            "post.text",
            "post.lang",
            F.transform("post.entities.hashtags", lambda h: F.lower(h["tag"])).alias("hashtags"),
            "post.source",
            values.post_timestamp(F.col("collected_at")).alias("collected_at"),
            keys.alias("media_keys"),
            F.concat(values.unusable(made), F.coalesce(without_key, F.array().cast("array<string>"))).alias("unusable"),
        )
    )


def _values() -> dict[str, tuple[Column, Column]]:
    """Return by column its text and its value."""
    followers, created, sensitive = (
        F.col("followers"), F.col("post.created_at"), F.col("post.possibly_sensitive")
    )  # fmt: skip
    numbers = {name: F.col(f"post.public_metrics.{name}") for name in NUMBERED}
    return {
        "author_followers": (followers, values.count(followers)),
        "created_at": (created, values.post_timestamp(created)),
        **{name: (text, values.count(text)) for name, text in numbers.items()},
        "possibly_sensitive": (sensitive, values.flag(sensitive)),
    }


def usable_posts(posts: DataFrame, columns: list[str]) -> DataFrame:
    """Return the usable posts as rows of `posts`."""
    return posts.where("reason IS NULL").select(*columns)


def media_of_posts(posts: DataFrame, pages: DataFrame, columns: list[str]) -> DataFrame:
    """Return the pictures of the usable posts as rows of `media`, one a post and position."""
    described = _deduplicate_included(pages, "media", "media_key").select("item.*")
    shown = (
        posts.where("reason IS NULL")
        .select("corpus", "post_id", F.posexplode("media_keys").alias("position", "media_key"))
        .where("media_key IS NOT NULL")
    )
    return shown.join(described, "media_key", "left").select(*columns)


def post_rejects(posts: DataFrame, pages: DataFrame, corpus: str) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for posts, values and pages that cannot be used."""
    rows = posts.where("reason IS NOT NULL").select(
        F.when(F.col("post_id").isNull(), "metadata").otherwise("post").alias("unit"),
        "corpus",
        F.coalesce("post_id", "place").alias("key"),
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
    dropped = posts.where("reason IS NULL").select(
        F.lit("post").alias("unit"),
        "corpus",
        F.col("post_id").alias("key"),
        F.lit("value_unusable").alias("reason"),
        F.explode("unusable").alias("detail"),
    )
    return rows.unionByName(unread).unionByName(dropped)


def _deduplicate_included(pages: DataFrame, kind: str, key: str) -> DataFrame:
    """Return one `item` a key; of several always the same, whatever the order of the pages."""
    items = pages.select(F.explode(f"includes.{kind}").alias("item"))
    return items.groupBy(F.col(f"item.{key}").alias("key")).agg(F.min("item").alias("item"))
