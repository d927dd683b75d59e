"""Pairs of images of one prompt of which one is clearly liked more, and whether the two were posted alike."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from twigma_spark.transforms.columns import fill_columns
from twigma_spark.transforms.engagement import DAY, band
from twigma_spark.transforms.texts import id_of

# What a row of `posted_images` says of an image, and a pair of each of its two.
OF_IMAGE = ("image_id", "author_id", "followers", "likes", "created_at", "cluster", "nsfw")

HOUR = 3600


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
    tweets: DataFrame,
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
        tweets: rows of the table `tweets`.
        clusters: image_id and cluster of one clustering; null where an image has none.
        nsfw_scores: image_id and score.
        threshold: a score from which an image is NSFW, as is one that was flagged; null where neither is known.
        popularity: column of `tweets` that counts how much an image is liked.
    """
    prompt = F.trim("prompt")
    shown = images.where("tweet_id IS NOT NULL AND prompt IS NOT NULL").select(
        "image_id",
        "corpus",
        "tweet_id",
        "sensitive",
        _prompt_key(prompt).alias("prompt_key"),
        id_of(F.lit("prompt"), "corpus", prompt).alias("text_id"),
    )
    posts = tweets.where(F.col(popularity).isNotNull()).select(
        "tweet_id",
        F.coalesce("author_id", "tweet_id").alias("author_id"),
        F.col("author_followers").alias("followers"),
        F.col(popularity).alias("likes"),
        "created_at",
    )
    scored = nsfw_scores.groupBy("image_id").agg(F.max("score").alias("score"))
    return (
        kept.select("image_id")
        .join(shown, "image_id")
        .join(posts, "tweet_id")
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
    keys = prompts.select("text_id", _prompt_key(F.trim("text")).alias("key"))
    leaders = keys.toDF("leader_id", "leader_key")
    return groups.join(leaders, "leader_id").select(
        "text_id", "leader_id", "leader_key", F.col("group_id").alias("group_key")
    )


def _prompt_key(prompt: Column) -> Column:
    return F.md5(F.concat_ws("\x1f", "corpus", prompt))


def compared_images(posted: DataFrame, rule: PairRule) -> DataFrame:
    """Return the images that are compared: those of prompts with several, at most `images_per_prompt` of each."""
    prompt = Window.partitionBy("corpus", "prompt_key")
    nth = F.row_number().over(prompt.orderBy(F.xxhash64("image_id", F.lit(rule.seed)), "image_id"))
    counted = posted.withColumn("images", F.count("*").over(prompt)).withColumn("nth", nth)
    return counted.where((F.col("images") > 1) & (F.col("nth") <= rule.images_per_prompt)).drop("images", "nth")


def count_comparisons(compared: DataFrame) -> tuple[int, int, int]:
    """Return how many images and prompts are compared, and in how many pairs."""
    sizes = compared.groupBy("corpus", "prompt_key").agg(F.count("*").alias("n"))
    row = sizes.agg(F.sum("n"), F.count("*"), F.sum(F.col("n") * (F.col("n") - 1) / 2)).collect()[0]
    return int(row[0] or 0), int(row[1]), int(row[2] or 0)


def mine_pairs(compared: DataFrame, rule: PairRule) -> DataFrame:
    """Return the pairs of which one image is clearly liked more, those that are matched and those that are not.

    Columns: corpus, prompt_key, split_key, text_id (of the prompt), preferred_ and other_ image_id, author_id,
    followers, likes and created_at, cluster of the preferred image, nsfw of either, matched, and weight: 1 / the pairs
    of the prompt that are matched, or that are not.

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
    pairs = one.join(two, ["corpus", "prompt_key"]).where(clear).withColumn("matched", _is_matched(rule))
    group = Window.partitionBy("corpus", "prompt_key", "matched")
    drawn = F.xxhash64("preferred_image_id", "other_image_id", F.lit(rule.seed))
    nth = F.row_number().over(group.orderBy(drawn, "preferred_image_id", "other_image_id"))
    weight = 1 / F.least(F.count("*").over(group), F.lit(rule.pairs_per_prompt))
    kept = pairs.withColumns({"nth": nth, "weight": weight}).where(F.col("nth") <= rule.pairs_per_prompt)
    of_both = [f"{side}_{c}" for c in OF_IMAGE[:5] for side in ("preferred", "other")]
    return kept.select(
        "corpus",
        "prompt_key",
        "split_key",
        "text_id",
        *of_both,
        F.col("preferred_cluster").alias("cluster"),
        (F.col("preferred_nsfw") | F.col("other_nsfw")).alias("nsfw"),
        "matched",
        "weight",
    )


def _is_matched(rule: PairRule) -> Column:
    """Return whether a pair is alike in all that the rule asks for; what is not known is not alike."""
    known = []
    if rule.followers:
        same_band = band(F.col("preferred_followers")) == band(F.col("other_followers"))
        known.append((F.col("preferred_author_id") == F.col("other_author_id")) | same_band)
    times = [F.unix_timestamp(f"{side}_created_at") for side in ("preferred", "other")]
    if rule.days is not None:
        known.append(F.abs(times[0] - times[1]) <= rule.days * DAY)
    if rule.hours is not None:
        apart = F.abs(F.pmod(times[0], F.lit(DAY)) - F.pmod(times[1], F.lit(DAY)))
        known.append(F.least(apart, DAY - apart) <= rule.hours * HOUR)
    if rule.clusters:
        known.append(F.col("preferred_cluster") == F.col("other_cluster"))
    if rule.nsfw:
        # Where no image has a score there is nothing to tell the two apart by.
        known.append(F.col("preferred_nsfw").eqNullSafe(F.col("other_nsfw")))
    matched: Column = F.lit(True)
    for condition in known:
        matched = matched & F.coalesce(condition, F.lit(False))
    return matched


def judged_pairs(
    judged: DataFrame, kept: DataFrame, images: DataFrame, schema: StructType
) -> tuple[DataFrame, DataFrame]:
    """Return pairs that people judged as rows of `pairs`, and those of images that are not kept as rejects.

    They are matched by their nature, and every image counts as of an author of its own. An image is named by its
    source_key, with or without the suffix.

    Args:
        judged: prompt, preferred, other, corpus.
        kept: image_id of the images that are kept.
        images: rows of the table `images`.
        schema: of the table `pairs`.
    """
    shown = images.select("image_id", "corpus", "source_key").join(kept.select("image_id"), "image_id", "left_semi")
    stem = F.regexp_replace("source_key", r"\.[^./]*$", "")
    names = shown.withColumn("name", F.explode(F.array_distinct(F.array("source_key", stem)))).drop("source_key")
    found = judged
    for side in ("preferred", "other"):
        own = names.select(
            F.col("corpus"), F.col("name").alias(side), F.col("image_id").alias(f"{side}_image_id")
        ).dropDuplicates(["corpus", side])
        found = found.join(own, ["corpus", side], "left")
    unknown = F.when(F.col("preferred_image_id").isNull(), F.col("preferred")).otherwise(F.col("other"))
    missing = F.col("preferred_image_id").isNull() | F.col("other_image_id").isNull()
    rejects = found.where(missing).select(
        F.lit("pairs").alias("stage"),
        F.lit("judgement").alias("unit"),
        "corpus",
        F.concat_ws(" > ", "preferred", "other").alias("key"),
        F.lit("no_image").alias("reason"),
        F.concat(F.lit("no kept image is named "), unknown).alias("detail"),
    )
    prompt = F.trim("prompt")
    group = Window.partitionBy("corpus", "prompt_key")
    rows = (
        found.where(~missing & (F.col("preferred_image_id") != F.col("other_image_id")))
        .withColumns(
            {
                "prompt_key": _prompt_key(prompt),
                "split_key": _prompt_key(prompt),
                "text_id": id_of(F.lit("prompt"), "corpus", prompt),
                "preferred_author_id": F.col("preferred_image_id"),
                "other_author_id": F.col("other_image_id"),
                "matched": F.lit(True),
            }
        )
        .dropDuplicates(["preferred_image_id", "other_image_id"])
        .withColumn("weight", 1 / F.count("*").over(group))
    )
    return fill_columns(rows, schema), rejects.distinct()


def prompted_images(pairs: DataFrame, folds: int, seed: int, tested: int | None) -> DataFrame:
    """Return image_id and text_id of the images of matched pairs in the tested folds, each once a prompt.

    Args:
        pairs: rows of the table `pairs`.
        folds: as for `pair_numbers`.
        seed: likewise.
        tested: folds that are held out in turn; None for all.
    """
    held = pairs.where(F.col("matched") & (_fold(folds, seed) < (tested or folds)))
    sides = [held.select(F.col(f"{side}_image_id").alias("image_id"), "text_id") for side in ("preferred", "other")]
    return sides[0].unionByName(sides[1]).distinct()


def prompted_scores(pairs: DataFrame, scores: DataFrame) -> DataFrame:
    """Return kind, the hashes of both images of each matched pair, and their scores for the pair's prompt.

    Columns: kind, preferred_id, other_id, preferred, other. Pairs without a score are left out.

    Args:
        pairs: rows of the table `pairs`.
        scores: image_id, text_id, kind, score; one a key.
    """
    found = pairs.where("matched").select("text_id", "preferred_image_id", "other_image_id")
    for side in ("preferred", "other"):
        on = ["text_id", f"{side}_image_id"] + ([] if side == "preferred" else ["kind"])
        own = scores.select("text_id", F.col("image_id").alias(f"{side}_image_id"), "kind", F.col("score").alias(side))
        found = found.join(own, on)
    ids = [F.xxhash64(f"{side}_image_id").alias(f"{side}_id") for side in ("preferred", "other")]
    return found.select("kind", *ids, "preferred", "other")


def _fold(folds: int, seed: int) -> Column:
    """Return the fold of a pair: all pairs of a prompt, and of those that are connected to it, are in one."""
    return F.pmod(F.xxhash64("corpus", "split_key", F.lit(seed)), F.lit(folds)).cast("int")


def pair_numbers(pairs: DataFrame, folds: int, seed: int) -> DataFrame:
    """Return the pairs as few bytes each, for the driver: ids as 64-bit hashes, what is not known as null or -1.

    Args:
        pairs: rows of the table `pairs`.
        folds: parts that the prompts are hashed to.
        seed: of the hash.
    """
    columns = {
        "text": F.xxhash64("text_id"),
        "prompt": F.xxhash64("corpus", "split_key"),
        "fold": _fold(folds, seed),
        "cluster": F.coalesce("cluster", F.lit(-1)).cast("int"),
        "matched": F.col("matched"),
        "nsfw": F.coalesce("nsfw", F.lit(False)),
        "days": F.abs(F.unix_timestamp("preferred_created_at") - F.unix_timestamp("other_created_at")) / DAY,
    }
    for side in ("preferred", "other"):
        columns |= {
            f"{side}_id": F.xxhash64(f"{side}_image_id"),
            f"{side}_author": F.xxhash64(f"{side}_author_id"),
            f"{side}_likes": F.coalesce(f"{side}_likes", F.lit(-1)).cast("bigint"),
            f"{side}_band": F.coalesce(band(F.col(f"{side}_followers")), F.lit(-1)).cast("int"),
            f"{side}_followers": F.log1p(f"{side}_followers"),
            f"{side}_hour": F.pmod(F.unix_timestamp(f"{side}_created_at"), F.lit(DAY)) / HOUR,
        }
    return pairs.select(*[value.alias(name) for name, value in columns.items()])
