"""Pairs that people judged, as rows of the table `pairs`."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from twigma_spark.transforms.columns import fill_columns
from twigma_spark.transforms.preferences import prompt_key
from twigma_spark.transforms.texts import id_of


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
    pairs = judged
    for side in ("preferred", "other"):
        own = names.select(
            F.col("corpus"), F.col("name").alias(side), F.col("image_id").alias(f"{side}_image_id")
        ).dropDuplicates(["corpus", side])
        pairs = pairs.join(own, ["corpus", side], "left")
    unknown = F.when(F.col("preferred_image_id").isNull(), F.col("preferred")).otherwise(F.col("other"))
    missing = F.col("preferred_image_id").isNull() | F.col("other_image_id").isNull()
    rejects = pairs.where(missing).select(
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
        pairs.where(~missing & (F.col("preferred_image_id") != F.col("other_image_id")))
        .withColumns(
            {
                "prompt_key": prompt_key(prompt),
                "split_key": prompt_key(prompt),
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
