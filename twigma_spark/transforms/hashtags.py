"""Which hashtags come with the current ones, and images of posts that have them."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def mark_current(posts: DataFrame, current: Sequence[str]) -> DataFrame:
    """Return posts with `current`, whether they have one of some hashtags.

    Args:
        posts: hashtags, without the sign and in lower case.
        current: likewise.
    """
    names = F.array(*[F.lit(name) for name in current]).cast("array<string>")
    return posts.withColumn("current", F.arrays_overlap("hashtags", names))


def count_candidates(posts: DataFrame, current: Sequence[str], fewest: int) -> DataFrame:
    """Return the other hashtags that come with a current one: hashtag, posts, together, authors, judged, accepted.

    Args:
        posts: post_id, author_id, hashtags, current, and accepted, null where a post was not judged.
        current: hashtags, as in the posts.
        fewest: posts that a candidate needs together with a current one.
    """
    each = posts.select("*", F.explode(F.array_distinct("hashtags")).alias("hashtag"))
    counted = (
        each.where(~F.col("hashtag").isin(list(current)))
        .groupBy("hashtag")
        .agg(
            F.count("*").alias("posts"),
            F.count_if("current").alias("together"),
            F.count_distinct(F.when(F.col("current"), F.coalesce("author_id", "post_id"))).alias("authors"),
            F.count("accepted").alias("judged"),
            F.count_if("accepted").alias("accepted"),
        )
    )
    return counted.where(F.col("together") >= fewest)


def judge_posts(images: DataFrame, scores: DataFrame, kind: str, above: float) -> DataFrame:
    """Return post_id and accepted, whether no image of a post scores above a bound, of posts whose images all score.

    Args:
        images: image_id, post_id.
        scores: rows of the table `scores`; of several scorers the highest counts.
        kind: of the score.
        above: the bound.
    """
    highest = scores.where(F.col("kind") == kind).groupBy("image_id").agg(F.max("score").alias("score"))
    judged = images.where("post_id IS NOT NULL").join(highest, "image_id", "left")
    accepted = F.when(F.count("score") == F.count("*"), F.max("score") <= above)
    return judged.groupBy("post_id").agg(accepted.alias("accepted")).where("accepted IS NOT NULL")


def example_images(posts: DataFrame, kept: DataFrame, hashtags: Sequence[str], examples: int) -> DataFrame:
    """Return hashtag, place (from 1) and image_id of kept images of posts that have a hashtag.

    First those of posts without a current one, which is what the hashtag would add, then the most liked, then by id.

    Args:
        posts: post_id, hashtags, current, like_count.
        kept: image_id, post_id.
        hashtags: of which images are shown.
        examples: images of each at most.
    """
    shown = posts.join(kept, "post_id").select("*", F.explode(F.array_distinct("hashtags")).alias("hashtag"))
    order = Window.partitionBy("hashtag").orderBy("current", F.desc_nulls_last("like_count"), "image_id")
    placed = shown.where(F.col("hashtag").isin(list(hashtags))).withColumn("place", F.row_number().over(order))
    return placed.where(F.col("place") <= examples).select("hashtag", "place", "image_id")
