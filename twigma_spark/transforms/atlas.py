"""The rows of an atlas: each image on the map with its place, neighbours, picture and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from twigma_spark.models.decode import ImageError
from twigma_spark.models.small_jpegs import small_jpeg

# Characters of a text at most.
LONGEST_TEXT = 300


def number_rows(projection: DataFrame, images: DataFrame) -> DataFrame:
    """Return row (from 0, without a gap, in order of corpus and id), image_id, corpus, x and y.

    Of the images on the map that are still there. The window has one partition, of ids and places alone.
    """
    there = projection.join(images.select("image_id"), "image_id", "left_semi")
    place = F.row_number().over(Window.orderBy("corpus", "image_id")) - 1
    return there.select(place.alias("row"), "image_id", "corpus", "x", "y")


def nearest_rows(neighbours: DataFrame, numbered: DataFrame, most: int) -> DataFrame:
    """Return row and neighbors: ids (row numbers, nearest first) and distances (1 - cosine) of `most` images at most.

    A pair of the table `neighbours` makes each of the two a neighbour of the other. Equal distances are in order of
    the row number.

    Args:
        neighbours: image_id, neighbour_id, similarity.
        numbered: row and image_id; pairs with an image that is not among them are left out.
        most: neighbours of a row at most.
    """
    one, other = (numbered.select(F.col("row").alias(n), F.col("image_id").alias(f"{n}_id")) for n in ("one", "other"))
    pairs = (
        neighbours.select(
            F.col("image_id").alias("one_id"),
            F.col("neighbour_id").alias("other_id"),
            (1 - F.col("similarity")).cast("float").alias("distance"),
        )
        .join(one, "one_id")
        .join(other, "other_id")
    )
    both = pairs.select(F.col("one").alias("row"), F.col("other").alias("id"), "distance").unionByName(
        pairs.select(F.col("other").alias("row"), F.col("one").alias("id"), "distance")
    )
    rank = F.row_number().over(Window.partitionBy("row").orderBy("distance", "id"))
    near = both.withColumn("rank", rank).where(F.col("rank") <= most)
    by_row = near.groupBy("row").agg(F.sort_array(F.collect_list(F.struct("rank", "id", "distance"))).alias("near"))
    return by_row.select("row", F.struct(F.col("near.id").alias("ids"), F.col("near.distance").alias("distances"))
                        .alias("neighbors"))  # fmt: skip


def theme_names(themes: DataFrame, clustering: str | None, words: int = 3) -> DataFrame:
    """Return cluster and theme of a clustering: the number and the first words, such as "3 · cat, dog, sun"."""
    first = themes.where(F.lit(False) if clustering is None else F.col("clustering_id") == clustering)
    first = first.where(F.col("rank") <= words)
    terms = first.groupBy("cluster").agg(F.sort_array(F.collect_list(F.struct("rank", "term")))["term"].alias("terms"))
    return terms.select("cluster", F.concat_ws(" · ", "cluster", F.concat_ws(", ", "terms")).alias("theme"))


def texts(images: DataFrame, captions: DataFrame) -> DataFrame:
    """Return image_id and caption: of a work title and artist, else the prompt, the caption that came, the model's.

    Of several models, the last by name counts, as in the report.
    """
    captioned = captions.groupBy("image_id").agg(F.max_by("caption", "model_id").alias("captioned"))
    work = F.concat_ws(", ", "title", "artist")
    text = F.coalesce(F.when(work != "", work), "prompt", "caption", "captioned", F.lit(""))
    return images.join(captioned, "image_id", "left").select(
        "image_id", F.left(text, F.lit(LONGEST_TEXT)).alias("caption")
    )


def is_hidden(score: str, sensitive: str, threshold: float) -> Column:
    """Return whether a picture must not be shown unasked: it scores higher, is flagged, or nothing is known of it."""
    unknown = F.col(score).isNull() & F.col(sensitive).isNull()
    return F.coalesce(F.col(score) > threshold, F.lit(False)) | F.coalesce(sensitive, F.lit(False)) | unknown


def with_pictures(
    rows: DataFrame, thumbnails: DataFrame, files: DataFrame | None, show_all: bool, max_pixels: int
) -> DataFrame:
    """Return the rows with `image` (JPEG); null where there is neither a thumbnail nor a file that can be decoded.

    Where there are files, the caller keeps Arrow's batches small.

    Args:
        rows: with image_id and `hidden`, which says whose picture is blurred.
        thumbnails: rows of the table `thumbnails`.
        files: image_id and content of the images that have no thumbnail; None where there are none.
        show_all: whether no picture is blurred.
        max_pixels: of an image.
    """

    def draw(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for files, blurred in batches:
            yield pd.Series([_small(c, b, max_pixels) for c, b in zip(files, blurred, strict=True)], dtype=object)

    drawn = rows.join(thumbnails.select("image_id", "thumbnail"), "image_id", "left")
    if files is not None:
        drawn = drawn.join(files, "image_id", "left")
    file = F.col("content") if files is not None else F.lit(None).cast("binary")
    blurred = F.lit(False) if show_all else F.col("hidden")
    udf = pandas_udf(draw, "binary").asNondeterministic()  # type: ignore[call-overload]
    # A thumbnail that is shown as it is does not leave the JVM.
    source = F.coalesce(F.when(blurred, F.col("thumbnail")), F.when(F.col("thumbnail").isNull(), file))
    image = F.when(blurred, F.col("redrawn")).otherwise(F.coalesce("thumbnail", "redrawn"))
    drawn = drawn.withColumn("redrawn", udf(source, blurred)).withColumn("image", image)
    return drawn.drop("redrawn", "content", "thumbnail")


def _small(content: bytes | None, blurred: bool, max_pixels: int) -> bytes | None:
    try:
        return None if content is None else small_jpeg(content, blurred, max_pixels)
    except ImageError:
        return None


def theme_places(rows: DataFrame) -> DataFrame:
    """Return x, y, text and priority of each theme: the middle (median) of its images and their number."""
    named = rows.where(F.col("theme").isNotNull()).groupBy("theme")
    middle = [F.percentile_approx(axis, 0.5).alias(axis) for axis in ("x", "y")]
    return named.agg(*middle, F.count("*").alias("priority")).select("x", "y", F.col("theme").alias("text"), "priority")
