"""Posts and their pictures, parsed from the JSON in `raw_posts`, as often as wished."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.schemas import MEDIA, POSTS
from twigma_spark.transforms import values

# Ids, times, numbers and flags are read as text: an id outgrows a double, and a bad value must neither spoil its
# post nor be null without a word.
POST = """
    text STRING, created_at STRING, author_id STRING, lang STRING, possibly_sensitive STRING, source STRING,
    public_metrics STRUCT<like_count: STRING, retweet_count: STRING, reply_count: STRING, quote_count: STRING>,
    attachments STRUCT<media_keys: ARRAY<STRING>>,
    entities STRUCT<hashtags: ARRAY<STRUCT<tag: STRING>>>,
    _bad STRING
"""
NUMBERED = ("like_count", "retweet_count", "reply_count", "quote_count")
MOST_PIXELS = 2**31 - 1


def parse_posts(raw: DataFrame) -> DataFrame:
    """Return every post: the columns of `posts`, `pictures` and `unusable`.

    `pictures` has a struct of the columns of `media` for each of its pictures. `unusable` lists values of which nothing
    can be made; they are null.

    Args:
        raw: rows of `raw_posts`.
    """
    read = raw.withColumn("post", F.from_json("json", POST, {"columnNameOfCorruptRecord": "_bad"}))
    made = _values()
    keys = F.col("post.attachments.media_keys")
    without_key = F.when(F.exists(keys, lambda key: key.isNull()), F.array(F.lit("media_keys: null")))
    misshapen = F.when(
        F.col("post._bad").isNotNull(), F.array(F.concat(F.lit("json: "), F.substring("post._bad", 1, 100)))
    )
    none = F.array().cast("array<string>")
    columns = {
        "author_id": F.col("post.author_id"),
        **{name: value for name, (_, value) in made.items()},
        "text": F.col("post.text"),
        "lang": F.col("post.lang"),
        "hashtags": F.transform("post.entities.hashtags", lambda h: F.lower(h["tag"])),
        "source": F.col("post.source"),
    }
    return read.select(
        *[columns.get(name, F.col(name)).alias(name) for name in POSTS.column_names],
        F.transform(keys, _picture).alias("pictures"),
        F.concat(values.unusable(made), F.coalesce(without_key, none), F.coalesce(misshapen, none)).alias("unusable"),
    )


def posts_of(parsed: DataFrame) -> DataFrame:
    """Return rows of `posts`."""
    return parsed.select(*POSTS.column_names)


def media_of(parsed: DataFrame) -> DataFrame:
    """Return the pictures of the posts as rows of `media`, one a post and position."""
    shown = parsed.select("corpus", "post_id", F.posexplode_outer("pictures").alias("position", "picture"))
    return shown.select("*", "picture.*").where("media_key IS NOT NULL").select(*MEDIA.column_names)


def value_rejects(parsed: DataFrame) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for values that cannot be used."""
    # Taken apart outer: Spark would else parse all posts a second time, to see whether there is a value.
    return parsed.select(
        F.lit("post").alias("unit"),
        "corpus",
        F.col("post_id").alias("key"),
        F.lit("value_unusable").alias("reason"),
        F.explode_outer("unusable").alias("detail"),
    ).where("detail IS NOT NULL")


def _values() -> dict[str, tuple[Column, Column]]:
    """Return by column its text and its value."""
    followers = F.get_json_object(F.col("author")["public_metrics"], "$.followers_count")
    created, sensitive = F.col("post.created_at"), F.col("post.possibly_sensitive")
    numbers = {name: F.col(f"post.public_metrics.{name}") for name in NUMBERED}
    return {
        "author_followers": (followers, values.count(followers)),
        "created_at": (created, values.post_timestamp(created)),
        **{name: (text, values.count(text)) for name, text in numbers.items()},
        "possibly_sensitive": (sensitive, values.flag(sensitive)),
    }


def _picture(key: Column) -> Column:
    """Return what the page says of the picture with a key; null where it says nothing."""
    picture = F.get(F.filter("media", lambda item: item["media_key"] == key), F.lit(0))
    pixels = {name: values.count(picture[name]) for name in ("width", "height")}
    return F.struct(
        key.alias("media_key"),
        *[picture[name].alias(name) for name in ("url", "type", "alt_text")],
        *[F.when(n <= MOST_PIXELS, n).cast("int").alias(name) for name, n in pixels.items()],
    )
