"""What stages ask of the table `pairs`: folds, images of held-out pairs and their scores, pairs as a few numbers."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.transforms.engagement import DAY, HOUR, band

# Steps in which a share of the prompts is drawn.
PLACES = 1 << 20


def prompted_images(pairs: DataFrame, folds: int, seed: int, tested: int | None) -> DataFrame:
    """Return image_id and text_id of the images of matched pairs in the tested folds, each once a prompt.

    Args:
        pairs: rows of the table `pairs`.
        folds: as for `pair_numbers`.
        seed: likewise.
        tested: folds that are held out in turn; None for all.
    """
    held = pairs.where(F.col("matched") & (fold(folds, seed) < (tested or folds)))
    sides = [held.select(F.col(f"{side}_image_id").alias("image_id"), "text_id") for side in ("preferred", "other")]
    return sides[0].unionByName(sides[1]).distinct()


def prompted_scores(pairs: DataFrame, scores: DataFrame) -> DataFrame:
    """Return kind, the hashes of both images of each matched pair, and their scores for the pair's prompt.

    Columns: kind, preferred_id, other_id, preferred, other. Pairs without a score are left out.

    Args:
        pairs: rows of the table `pairs`.
        scores: image_id, text_id, kind, score; one a key.
    """
    matched = pairs.where("matched").select("text_id", "preferred_image_id", "other_image_id")
    for side in ("preferred", "other"):
        on = ["text_id", f"{side}_image_id"] + ([] if side == "preferred" else ["kind"])
        own = scores.select("text_id", F.col("image_id").alias(f"{side}_image_id"), "kind", F.col("score").alias(side))
        matched = matched.join(own, on)
    ids = [F.xxhash64(f"{side}_image_id").alias(f"{side}_id") for side in ("preferred", "other")]
    return matched.select("kind", *ids, "preferred", "other")


def of_some_prompts(pairs: DataFrame, share: float, seed: int) -> DataFrame:
    """Return the pairs of a share of the prompts, which are drawn by their hash: all of a prompt's pairs or none.

    Args:
        pairs: rows of the table `pairs`.
        share: of the prompts, from 0 to 1.
        seed: of the hash, which is not that of `fold`.
    """
    place = F.pmod(F.xxhash64("corpus", "split_key", F.lit(seed), F.lit("drawn")), F.lit(PLACES))
    return pairs.where(place < F.lit(round(share * PLACES)))


def fold(folds: int, seed: int) -> Column:
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
        "fold": fold(folds, seed),
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
