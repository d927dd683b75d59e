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
    similarities are put in order of the ids.
    """
    highest = Window.partitionBy("reference").orderBy(F.desc("similarity"), "image_id", "neighbour_id")
    closest = neighbours.where("rank = 1").withColumn("place", F.row_number().over(highest))
    candidates = copies.select("image_id", "reference", "false_match_rate")
    return (
        closest.where(F.col("place") <= pairs)
        .join(candidates, ["image_id", "reference"], "left")
        .select("reference", "place", "image_id", "neighbour_id", "similarity", "false_match_rate")
    )


def pictures(images: DataFrame, scores: DataFrame, captions: DataFrame, chosen: DataFrame) -> DataFrame:
    """Return the chosen images with what is known of them, and their content.

    Args:
        images: rows of the table `images`.
        scores: rows of `scores`; the highest NSFW score of any scorer counts.
        captions: rows of `captions`; of several models, the last by name counts.
        chosen: image_id of the few images to show.
    """
    wanted = F.broadcast(chosen.select("image_id").distinct())
    nsfw = scores.where("kind = 'nsfw'").join(wanted, "image_id", "left_semi")
    nsfw = nsfw.groupBy("image_id").agg(F.max("score").alias("score"))
    said = captions.join(wanted, "image_id", "left_semi").withColumnRenamed("caption", "said")
    said = said.groupBy("image_id").agg(F.max_by("said", "model_id").alias("said"))
    work = F.concat_ws(", ", "title", "artist")
    return (
        images.join(wanted, "image_id", "left_semi")
        .join(nsfw, "image_id", "left")
        .join(said, "image_id", "left")
        .select(
            "image_id",
            "corpus",
            F.coalesce(F.when(work != "", work), "prompt", "caption", "said", F.lit("")).alias("text"),
            "sensitive",
            "score",
            "content",
        )
    )


def thumbnails(pictures: DataFrame, side: int, max_pixels: int) -> DataFrame:
    """Return the pictures with `thumbnail` (WebP, at most `side` pixels) and `preview` in place of `content`.

    Both are null where the image cannot be decoded. The caller keeps Arrow's batches small: whole files
    travel through them.
    """

    def shrink(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            small = [_small(content, side, max_pixels) for content in batch]
            yield pd.DataFrame(small, columns=["thumbnail", "preview"])

    udf = pandas_udf(shrink, SMALL).asNondeterministic()  # type: ignore[call-overload]
    return pictures.withColumn("small", udf("content")).select(
        "image_id", "corpus", "text", "sensitive", "score", "small.thumbnail", "small.preview"
    )


def _small(content: bytes | None, side: int, max_pixels: int) -> tuple[bytes | None, bytes | None]:
    try:
        full = thumbnail(content or b"", side, max_pixels)
        return full, thumbnail(full, PREVIEW, max_pixels)
    except ImageError:
        return None, None
