"""One row an image of the posts: its likes and author, and what may go with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

HOUR, DAY = 3_600, 86_400
# Followers below 500, from 500 to 5,000, and above, as in TWIGMA (Chen & Zou 2023).
SMALL, LARGE = 500, 5_000


def engagement(kept: DataFrame, images: DataFrame, posts: DataFrame) -> DataFrame:
    """Return what is known of the posts of kept images, one row an image.

    The columns are image_id, post_id, author_id, followers, band, likes, retweets, replies, hashtags, created_at and
    age_days.

    The age runs to `collected_at`, or where that is not known to the last post of the corpus, and is one day
    at least. `band` is 0 below 500 followers, 1 to 5,000, 2 above, null where they are not known. A post
    without an author is its own.

    Args:
        kept: image_id and corpus of the posts' images that are kept.
        images: rows of the table `images`.
        posts: rows of the table `posts`.
    """
    last = F.max("created_at").over(Window.partitionBy("corpus"))
    age = F.unix_timestamp(F.coalesce("collected_at", "last")) - F.unix_timestamp("created_at")
    about = (
        posts.withColumn("last", last)
        .withColumn("age_days", F.greatest(age / DAY, F.lit(1.0)))
        .select(
            "post_id",
            F.coalesce("author_id", "post_id").alias("author_id"),
            F.col("author_followers").alias("followers"),
            band(F.col("author_followers")).alias("band"),
            F.col("like_count").alias("likes"),
            F.col("retweet_count").alias("retweets"),
            F.col("reply_count").alias("replies"),
            "hashtags",
            "created_at",
            "age_days",
        )
    )
    shown = images.where("post_id IS NOT NULL").select("image_id", "post_id")
    return kept.select("image_id").join(shown, "image_id").join(about, "post_id").select("image_id", *about.columns)


def band(followers: Column) -> Column:
    """Return the band of a number of followers: 0, 1 or 2, null where it is not known."""
    return F.when(followers < SMALL, 0).when(followers <= LARGE, 1).when(followers.isNotNull(), 2)


def with_similarity(rows: DataFrame, neighbours: DataFrame, references: Sequence[str], nearest: int) -> DataFrame:
    """Return the rows with `similarity_<reference>`, the mean cosine of the nearest images there; null without.

    Args:
        rows: image_id and more.
        neighbours: rows of the table `neighbours`.
        references: names of corpora.
        nearest: neighbours that count, from rank 1.
    """
    near = neighbours.where(F.col("rank") <= nearest).groupBy("image_id")
    means = [
        F.avg(F.when(F.col("reference") == name, F.col("similarity"))).alias(similarity(name)) for name in references
    ]
    return rows.join(near.agg(*means), "image_id", "left") if means else rows


def with_nearest(rows: DataFrame, neighbours: DataFrame, references: Sequence[str]) -> tuple[DataFrame, Column]:
    """Return the rows, and a column `nearest` of them: the place of the reference with the nearest image, else -1.

    Args:
        rows: image_id and more.
        neighbours: rows of the table `neighbours`.
        references: names of corpora; equally near ones are taken by name.
    """
    best = F.max_by("reference", F.struct("similarity", "reference")).alias("nearest_reference")
    nearest = neighbours.where("rank = 1").groupBy("image_id").agg(best)
    places = [F.when(F.col("nearest_reference") == name, place) for place, name in enumerate(references)]
    return rows.join(nearest, "image_id", "left"), F.coalesce(*places, F.lit(-1)).cast("int").alias("nearest")


def similarity(reference: str) -> str:
    """Return the name of the column with the similarity to a reference."""
    return f"similarity_{reference}"


def score(kind: str) -> str:
    """Return the name of the column with a score."""
    return f"score_{kind}"


def with_scores(rows: DataFrame, scores: DataFrame, clusters: DataFrame, kinds: Iterable[str]) -> DataFrame:
    """Return the rows with a column for each score (`score`) and the `cluster`; null where there is none.

    Args:
        rows: image_id and more.
        scores: rows of the table `scores`; the highest of several scorers of a kind counts.
        clusters: image_id and cluster of one clustering.
        kinds: names of scores.
    """
    highest = [F.max(F.when(F.col("kind") == kind, F.col("score"))).alias(score(kind)) for kind in kinds]
    scored = rows.join(scores.groupBy("image_id").agg(*highest), "image_id", "left") if highest else rows
    return scored.join(clusters.select("image_id", "cluster"), "image_id", "left")


def joint_columns(hashtags: Sequence[str], nsfw: bool) -> list[Column]:
    """Return further columns of `compact` for the joint model: numbers as floats, labels as ints, hashtags as flags.

    Args:
        hashtags: whose posts are marked by `tag_<place>`.
        nsfw: whether there is a column `score("nsfw")`.
    """
    unknown = F.lit(float("nan")).cast("float")
    score_of = F.col(score("nsfw")) if nsfw else F.lit(None)
    month = F.year("created_at") * 12 + F.month("created_at") - 1
    return [
        *[F.coalesce(F.col(name), F.lit(-1)).cast("int").alias(name) for name in ("retweets", "replies")],
        F.coalesce(F.log1p("followers").cast("float"), unknown).alias("log_followers"),
        F.coalesce(score_of.cast("float"), unknown).alias("nsfw"),
        F.coalesce(month, F.lit(-1)).cast("int").alias("month"),
        F.coalesce("cluster", F.lit(-1)).cast("int").alias("cluster"),
        *[
            F.coalesce(F.array_contains("hashtags", tag), F.lit(False)).cast("tinyint").alias(f"tag_{place}")
            for place, tag in enumerate(hashtags)
        ],
    ]


def compact(rows: DataFrame, references: Sequence[str], extra: Sequence[Column] = ()) -> DataFrame:
    """Return the rows as few bytes each, for the driver: 8 for a post, 8 for an author, 4 for a number.

    Posts and authors become 64-bit hashes of their ids (of 600,000, two agree with probability 1e-8).
    Unknown likes and bands are -1, unknown similarities NaN.

    Args:
        rows: of `with_similarity`.
        references: names of corpora.
        extra: further columns.
    """
    unknown = F.lit(float("nan")).cast("float")
    return rows.select(
        F.xxhash64("post_id").alias("post"),
        F.xxhash64("author_id").alias("author"),
        F.coalesce(F.col("likes"), F.lit(-1)).cast("int").alias("likes"),
        F.coalesce(F.col("band"), F.lit(-1)).cast("tinyint").alias("band"),
        F.coalesce(F.log("age_days").cast("float"), F.lit(0.0).cast("float")).alias("log_age"),
        *[F.coalesce(F.col(similarity(r)).cast("float"), unknown).alias(similarity(r)) for r in references],
        *extra,
    )
