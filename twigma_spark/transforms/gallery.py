"""Which pictures the report shows, and their thumbnails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from twigma_spark.models.decode import ImageError, thumbnail

# A hidden picture is shown as so few pixels that they say nothing but its colours.
PREVIEW = 10
SMALL = "struct<thumbnail: binary, preview: binary>"


def theme_examples(clusters: DataFrame, clusterings: Sequence[str], examples: int) -> DataFrame:
    """Return the `examples` images nearest to each centre: clustering_id, cluster, place (from 1), image_id.

    Equal distances are put in order of the id.
    """
    nearest = Window.partitionBy("clustering_id", "cluster").orderBy("distance", "image_id")
    return (
        clusters.where(F.col("clustering_id").isin(list(clusterings)))
        .withColumn("place", F.row_number().over(nearest))
        .where(F.col("place") <= examples)
        .select("clustering_id", "cluster", "place", "image_id")
    )


def closest_pairs(neighbours: DataFrame, copies: DataFrame, pairs: int) -> DataFrame:
    """Return the most similar best matches of each reference, `pairs` of them.

    The columns are reference, place (from 1), image_id, neighbour_id, similarity and false_match_rate, which is
    null where the pair is no candidate in `copies`. An image of the posts has one pair in a reference; equal
    similarities are put in order of the ids. An image of the reference is shown once, with its closest post.
    """
    order = F.desc("similarity"), "image_id", "neighbour_id"
    best = neighbours.where("rank = 1").select("reference", "image_id", "neighbour_id", "similarity")
    # The few images of the reference that are shown are found among numbers alone, which Spark counts in hash tables.
    nearest = best.groupBy("reference", "neighbour_id").agg(F.max("similarity").alias("highest"))
    by_reference = Window.partitionBy("reference")
    few = nearest.withColumn("n", F.rank().over(by_reference.orderBy(F.desc("highest")))).where(F.col("n") <= pairs)
    highest = best.join(F.broadcast(few), ["reference", "neighbour_id"]).where("similarity = highest")
    first = F.row_number().over(Window.partitionBy("reference", "neighbour_id").orderBy(*order))
    once = highest.withColumn("first", first).where("first = 1")
    closest = once.withColumn("place", F.row_number().over(by_reference.orderBy(*order)))
    candidates = copies.select("image_id", "reference", "false_match_rate")
    return (
        closest.where(F.col("place") <= pairs)
        .join(candidates, ["image_id", "reference"], "left")
        .select("reference", "place", "image_id", "neighbour_id", "similarity", "false_match_rate")
    )


def uncertain_copies(copies: DataFrame, pairs: int) -> DataFrame:
    """Return the candidates of each reference that are nearest to the threshold, `pairs` of them.

    The columns are those of `closest_pairs`; equal similarities are put in order of the ids.
    """
    order = Window.partitionBy("reference").orderBy("similarity", "image_id")
    chosen = copies.withColumn("place", F.row_number().over(order)).where(F.col("place") <= pairs)
    return chosen.select("reference", "place", "image_id", "neighbour_id", "similarity", "false_match_rate")


def duplicate_groups(duplicates: DataFrame, groups: int, repeats: int) -> DataFrame:
    """Return members of the groups that are worth a look: those with most near-duplicates, then the largest.

    The columns are place (of the group, from 1), canonical_id, size (all that repeat it), number (from 1),
    image_id, tier and similarity; near-duplicates first, the least similar before others.

    Args:
        duplicates: rows of the table `duplicates`.
        groups: groups at most.
        repeats: repeated images of a group at most.
    """
    near = F.col("tier") == "near"
    sized = duplicates.groupBy("canonical_id").agg(F.sum(near.cast("int")).alias("n_near"), F.count("*").alias("size"))
    most_near = F.desc("n_near"), F.desc("size"), "canonical_id"
    chosen = sized.orderBy(*most_near).limit(groups)
    place = F.row_number().over(Window.orderBy(*most_near))
    in_group = Window.partitionBy("canonical_id").orderBy(F.desc(near), "similarity", "image_id")
    return (
        duplicates.join(F.broadcast(chosen.withColumn("place", place)), "canonical_id")
        .withColumn("number", F.row_number().over(in_group))
        .where(F.col("number") <= repeats)
        .select("place", "canonical_id", "size", "number", "image_id", "tier", "similarity")
    )


def shared_pairs(shared: DataFrame, pairs: int) -> DataFrame:
    """Return the images that two corpora share and that are worth a look: of each two corpora the least alike first.

    Args:
        shared: rows of the table `shared_images`.
        pairs: rows at most, in order.
    """
    order = F.desc("bits"), "image_id", "other_id"
    place = F.row_number().over(Window.partitionBy("corpus", "other_corpus").orderBy(*order))
    chosen = shared.withColumn("place", place).where(F.col("place") <= pairs)
    return chosen.orderBy("place", "corpus", "other_corpus").limit(pairs).drop("place")


def surest_pairs(held_out: DataFrame, pairs: DataFrame, most: int) -> DataFrame:
    """Return the held-out pairs of the largest margins, and as many of the lowest, with their likes.

    An image is in one pair of either kind at most as the preferred one.

    Args:
        held_out: rows of the table `held_out_pairs`.
        pairs: rows of the table `pairs`.
        most: pairs of either kind at most.
    """
    order = F.desc(F.abs("margin")), "preferred_image_id", "other_image_id"
    kind = F.signum("margin").alias("kind")
    once = F.row_number().over(Window.partitionBy("preferred_image_id", "kind").orderBy(*order))
    place = F.row_number().over(Window.partitionBy("kind").orderBy(*order))
    first = held_out.where("margin <> 0").select("*", kind).withColumn("once", once).where("once = 1")
    chosen = first.withColumn("place", place).where(F.col("place") <= most)
    ids = ["preferred_image_id", "other_image_id"]
    likes = pairs.select(*ids, "preferred_likes", "other_likes")
    return chosen.join(likes, ids).select(*ids, "preferred_likes", "other_likes", "margin")


def nearest_either_way(neighbours: DataFrame, chosen: DataFrame, most: int) -> DataFrame:
    """Return the nearest neighbours of the chosen images: image_id, neighbour_id, similarity and rank, from 1.

    A pair makes each of its two images a neighbour of the other. Equal similarities are put in order of the ids.

    Args:
        neighbours: rows of the table `neighbours`.
        chosen: image_id of a few images.
        most: neighbours of an image at most.
    """
    wanted = F.broadcast(chosen.select("image_id"))
    pairs = neighbours.select("image_id", "neighbour_id", "similarity")
    turned = pairs.select(
        F.col("neighbour_id").alias("image_id"), F.col("image_id").alias("neighbour_id"), "similarity"
    )
    both = pairs.join(wanted, "image_id").unionByName(turned.join(wanted, "image_id"))
    rank = F.row_number().over(Window.partitionBy("image_id").orderBy(F.desc("similarity"), "neighbour_id"))
    return both.withColumn("rank", rank).where(F.col("rank") <= most)


def pictures(images: DataFrame, scores: DataFrame, captions: DataFrame, chosen: DataFrame) -> DataFrame:
    """Return the chosen images with what is known of them, and their content.

    Args:
        images: rows of the table `images`.
        scores: rows of `scores`; the highest NSFW score of any scorer counts.
        captions: rows of `captions`; of several models, the last by name counts.
        chosen: image_id and side (the pixels of the thumbnail's longer side at most) of the few images to show.
    """
    wanted = F.broadcast(chosen.dropDuplicates(["image_id"]))
    nsfw = scores.where("kind = 'nsfw'").join(wanted, "image_id", "left_semi")
    nsfw = nsfw.groupBy("image_id").agg(F.max("score").alias("score"))
    written = captions.join(wanted, "image_id", "left_semi").withColumnRenamed("caption", "generated")
    written = written.groupBy("image_id").agg(F.max_by("generated", "model_id").alias("generated"))
    work = F.concat_ws(", ", "title", "artist")
    return (
        images.join(wanted, "image_id")
        .join(nsfw, "image_id", "left")
        .join(written, "image_id", "left")
        .select(
            "image_id",
            "corpus",
            F.col("source_key").alias("file"),
            F.coalesce(F.when(work != "", work), "prompt", "caption", "generated", F.lit("")).alias("text"),
            "sensitive",
            "score",
            "side",
            "content",
        )
    )


def thumbnails(pictures: DataFrame, max_pixels: int) -> DataFrame:
    """Return the pictures with `thumbnail` (WebP, at most `side` pixels) and `preview` in place of side and `content`.

    Both are null where the image cannot be decoded. The caller keeps Arrow's batches small: whole files
    travel through them.
    """

    def shrink(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        for contents, sides in batches:
            small = [_small(content, side, max_pixels) for content, side in zip(contents, sides, strict=True)]
            yield pd.DataFrame(small, columns=["thumbnail", "preview"])

    udf = pandas_udf(shrink, SMALL).asNondeterministic()  # type: ignore[call-overload]
    kept = [name for name in pictures.columns if name not in ("side", "content")]
    return pictures.withColumn("small", udf("content", "side")).select(*kept, "small.thumbnail", "small.preview")


def _small(content: bytes | None, side: int, max_pixels: int) -> tuple[bytes | None, bytes | None]:
    try:
        full = thumbnail(content or b"", side, max_pixels)
        return full, thumbnail(full, PREVIEW, max_pixels)
    except ImageError:
        return None, None
