"""Pairs of images of one prompt of which one is clearly liked more, and whether the two were posted alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.transforms.engagement import DAY, HOUR, band
from twigma_spark.transforms.texts import id_of

# What a row of `posted_images` says of an image, and a pair of each of its two.
OF_IMAGE = ("image_id", "author_id", "followers", "likes", "created_at", "cluster", "nsfw")


@dataclass(frozen=True)
class PairRule:
    """Which images make a pair, and which pairs are matched.

    Attributes:
        minimum: likes of the preferred image at least.
        ratio: times as many likes as the other image at least.
        images_per_prompt: images of a prompt that are compared; of more, as many are drawn by a hash of their ids.
        pairs_per_prompt: matched pairs of a prompt that are kept, and as many of the others; drawn alike.
        followers: whether a matched pair has one author, or two of one band of followers.
        days: between the two posts at most; None for any.
        hours: between the two hours of the day at most; None for any.
        clusters: whether a matched pair is of one cluster.
        nsfw: whether both or neither of a matched pair are NSFW.
        seed: of the hashes.
    """

    minimum: int = 3
    ratio: float = 2.0
    images_per_prompt: int = 50
    pairs_per_prompt: int = 100
    followers: bool = True
    days: float | None = 30.0
    hours: float | None = 6.0
    clusters: bool = False
    nsfw: bool = True
    seed: int = 0


def posted_images(
    kept: DataFrame,
    images: DataFrame,
    posts: DataFrame,
    clusters: DataFrame,
    nsfw_scores: DataFrame,
    threshold: float,
    popularity: str = "like_count",
) -> DataFrame:
    """Return corpus, prompt_key, split_key, text_id and `OF_IMAGE` of the kept images that have a prompt and likes.

    Images belong to one prompt where they share its text, whatever its id: else a text that two ids have could be
    trained on under one and tested under the other.

    Args:
        kept: image_id of the images that are kept.
        images: rows of the table `images`.
        posts: rows of the table `posts`.
        clusters: image_id and cluster of one clustering; null where an image has none.
        nsfw_scores: image_id and score.
        threshold: a score from which an image is NSFW, as is one that was flagged; null where neither is known.
        popularity: column of `posts` that counts how much an image is liked.
    """
    prompt = F.trim("prompt")
    shown = images.where("post_id IS NOT NULL AND prompt IS NOT NULL").select(
        "image_id",
        "corpus",
        "post_id",
        "sensitive",
        prompt_key(prompt).alias("prompt_key"),
        id_of(F.lit("prompt"), "corpus", prompt).alias("text_id"),
    )
    liked = posts.where(F.col(popularity).isNotNull()).select(
        "post_id",
        F.coalesce("author_id", "post_id").alias("author_id"),
        F.col("author_followers").alias("followers"),
        F.col(popularity).alias("likes"),
        "created_at",
    )
    scored = nsfw_scores.groupBy("image_id").agg(F.max("score").alias("score"))
    return (
        kept.select("image_id")
        .join(shown, "image_id")
        .join(liked, "post_id")
        .join(clusters.select("image_id", "cluster"), "image_id", "left")
        .join(scored, "image_id", "left")
        .withColumn("nsfw", F.coalesce(F.when(F.col("sensitive"), True), F.col("score") >= threshold, "sensitive"))
        .select("corpus", "prompt_key", F.col("prompt_key").alias("split_key"), "text_id", *OF_IMAGE)
    )


def with_near_prompts(posted: DataFrame, groups: DataFrame) -> DataFrame:
    """Return rows of `posted_images` with split_key; prompts that count as another have its prompt_key and text_id.

    Args:
        posted: rows of `posted_images`.
        groups: from `prompt_keys`.
    """
    return posted.join(groups, "text_id", "left").select(
        "corpus",
        F.coalesce("leader_key", "prompt_key").alias("prompt_key"),
        F.coalesce("group_key", "split_key").alias("split_key"),
        F.coalesce("leader_id", "text_id").alias("text_id"),
        *OF_IMAGE,
    )


def prompt_keys(groups: DataFrame, prompts: DataFrame) -> DataFrame:
    """Return text_id, leader_id, leader_key and group_key of grouped prompts.

    Args:
        groups: from `estimators.prompt_groups`.
        prompts: text_id, corpus, text of all prompts.
    """
    keys = prompts.select("text_id", prompt_key(F.trim("text")).alias("key"))
    leaders = keys.toDF("leader_id", "leader_key")
    return groups.join(leaders, "leader_id").select(
        "text_id", "leader_id", "leader_key", F.col("group_id").alias("group_key")
    )


def prompt_key(prompt: Column) -> Column:
    """Return what images of one corpus and one prompt share."""
    return F.md5(F.concat_ws("\x1f", "corpus", prompt))


def compared_images(posted: DataFrame, rule: PairRule) -> DataFrame:
    """Return the images that are compared: those of prompts with several, at most `images_per_prompt` of each.

    Which ones are drawn depends on their ids and the seed alone. `images` says how many the prompt has in all.
    """
    prompt = Window.partitionBy("corpus", "prompt_key")
    nth = F.row_number().over(prompt.orderBy(F.xxhash64("image_id", F.lit(rule.seed)), "image_id"))
    counted = posted.withColumn("images", F.count("*").over(prompt)).withColumn("nth", nth)
    return counted.where((F.col("images") > 1) & (F.col("nth") <= rule.images_per_prompt)).drop("nth")


class Comparisons(NamedTuple):
    """How many images and prompts are compared, in how many pairs, and how many images were not drawn."""

    images: int
    prompts: int
    pairs: int
    not_drawn: int


def count_comparisons(compared: DataFrame) -> Comparisons:
    """Return how much is compared of `compared_images`."""
    sizes = compared.groupBy("corpus", "prompt_key").agg(F.count("*").alias("n"), F.max("images").alias("of"))
    pairs, left = F.sum(F.col("n") * (F.col("n") - 1) / 2), F.sum(F.col("of") - F.col("n"))
    row = sizes.agg(F.sum("n"), F.count("*"), pairs, left).collect()[0]
    return Comparisons(*(int(value or 0) for value in row))


def mine_pairs(compared: DataFrame, rule: PairRule) -> DataFrame:
    """Return the pairs of which one image is clearly liked more, those that are matched and those that are not.

    Columns: corpus, prompt_key, split_key, text_id (of the prompt), preferred_ and other_ image_id, author_id,
    followers, likes and created_at, cluster of the preferred image, nsfw of either, matched_on, matched, weight: 1 /
    the pairs of the prompt that are matched, or that are not; and of: how many those are before some are drawn.

    Args:
        compared: rows of `compared_images`.
        rule: which pairs.
    """
    one = compared.select(
        "corpus", "prompt_key", "split_key", "text_id", *[F.col(c).alias(f"preferred_{c}") for c in OF_IMAGE]
    )
    two = compared.select("corpus", "prompt_key", *[F.col(c).alias(f"other_{c}") for c in OF_IMAGE])
    clear = (F.col("preferred_likes") >= rule.minimum) & (F.col("preferred_likes") >= F.col("other_likes") * rule.ratio)
    # Two images of a post have the same likes, and are no pair.
    pairs = _with_matching(one.join(two, ["corpus", "prompt_key"]).where(clear), rule)
    group = Window.partitionBy("corpus", "prompt_key", "matched")
    drawn = F.xxhash64("preferred_image_id", "other_image_id", F.lit(rule.seed))
    nth = F.row_number().over(group.orderBy(drawn, "preferred_image_id", "other_image_id"))
    counted = pairs.withColumns({"nth": nth, "of": F.count("*").over(group)})
    kept = counted.where(F.col("nth") <= rule.pairs_per_prompt)
    of_both = [f"{side}_{c}" for c in OF_IMAGE[:5] for side in ("preferred", "other")]
    return kept.select(
        "corpus",
        "prompt_key",
        "split_key",
        "text_id",
        *of_both,
        F.col("preferred_cluster").alias("cluster"),
        (F.col("preferred_nsfw") | F.col("other_nsfw")).alias("nsfw"),
        "matched_on",
        "matched",
        (1 / F.least("of", F.lit(rule.pairs_per_prompt))).alias("weight"),
        "of",
    )


class Mined(NamedTuple):
    """How many pairs are kept, how many of these are matched, and how many clear ones were not drawn."""

    clear: int
    matched: int
    not_drawn: int


def count_pairs(mined: DataFrame) -> Mined:
    """Return how many pairs there are in `mine_pairs`."""
    # Of a group min(of, pairs_per_prompt) rows of the weight 1 / min(of, pairs_per_prompt) are kept.
    in_all = F.round(F.sum(F.col("of") * F.col("weight")))
    row = mined.agg(F.count("*"), F.count_if("matched"), in_all).collect()[0]
    clear, matched, of = (int(value or 0) for value in row)
    return Mined(clear, matched, of - clear)


def _with_matching(pairs: DataFrame, rule: PairRule) -> DataFrame:
    """Return pairs with matched_on, in what of that which the rule asks for the two posts are alike, and matched."""
    alike = {name: F.coalesce(condition, F.lit(False)) for name, condition in _likenesses(rule).items()}
    names = F.array(*[F.when(condition, F.lit(name)) for name, condition in alike.items()])
    rules = dict(alike)
    if rule.followers:
        rules["followers"] = rules.pop("author") | rules["followers"]
    matched = reduce(and_, rules.values(), F.lit(True))
    return pairs.withColumns({"matched_on": F.array_compact(names.cast("array<string>")), "matched": matched})


def _likenesses(rule: PairRule) -> dict[str, Column]:
    """Return, of what the rule asks for, the condition that two posts are alike in it; null where that is not known."""
    likenesses = {}
    if rule.followers:
        likenesses["author"] = F.col("preferred_author_id") == F.col("other_author_id")
        likenesses["followers"] = band(F.col("preferred_followers")) == band(F.col("other_followers"))
    times = [F.unix_timestamp(f"{side}_created_at") for side in ("preferred", "other")]
    if rule.days is not None:
        likenesses["days"] = F.abs(times[0] - times[1]) <= rule.days * DAY
    if rule.hours is not None:
        apart = F.abs(F.pmod(times[0], F.lit(DAY)) - F.pmod(times[1], F.lit(DAY)))
        likenesses["hours"] = F.least(apart, DAY - apart) <= rule.hours * HOUR
    if rule.clusters:
        likenesses["cluster"] = F.col("preferred_cluster") == F.col("other_cluster")
    if rule.nsfw:
        # Where no image has a score there is nothing to tell the two apart by.
        likenesses["nsfw"] = F.col("preferred_nsfw").eqNullSafe(F.col("other_nsfw"))
    return likenesses
