"""Rows of `images` from candidates: the header is read, the id is made, the unusable are told apart."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from twigma_spark.models.decode import ImageError, probe

PROBED = "struct<format: string, width: int, height: int, reason: string, detail: string>"


def probe_images(candidates: DataFrame, corpus: str, max_pixels: int) -> DataFrame:
    """Return the candidates with what their headers say, and a `reason` for each that cannot be used.

    Only headers are read; a file whose pixels turn out to be broken is refused by the stage that decodes it.
    """

    def headers(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield pd.DataFrame([_header(content, max_pixels) for content in batch], columns=_FIELDS)

    read = pandas_udf(headers, PROBED).asNondeterministic()  # type: ignore[call-overload]
    seen = candidates.withColumn("probe", F.when(F.col("reason").isNull(), read("content")))
    sha256 = F.sha2("content", 256)
    image_id = F.substring(F.sha2(F.concat_ws("/", "corpus", "source_key", "sha256"), 256), 1, 32)
    return (
        seen.withColumn("corpus", F.lit(corpus))
        .withColumn("sha256", sha256)
        .withColumn("image_id", image_id)
        .select(
            "image_id",
            "corpus",
            *[c for c in candidates.columns if c not in ("reason", "detail")],
            "sha256",
            "probe.width",
            "probe.height",
            "probe.format",
            F.coalesce("reason", "probe.reason").alias("reason"),
            F.coalesce("probe.detail", "detail").alias("detail"),
        )
    )


def usable(probed: DataFrame, columns: list[str]) -> DataFrame:
    """Return the candidates that can be used, as rows of `images`."""
    return probed.where("reason IS NULL").select(*columns)


def in_order(images: DataFrame, parts: int) -> DataFrame:
    """Return the images in the order of their ids, in so many ranges of about the same number.

    Each range becomes a file of a corpus, whose least and greatest id Delta keeps: who asks for some ids reads
    only the files that can hold them.
    """
    order = ("corpus", "image_id")
    return images.repartitionByRange(parts, *order).sortWithinPartitions(*order)


def image_rejects(probed: DataFrame) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for the candidates that cannot be used."""
    return probed.where("reason IS NOT NULL").select(
        F.lit("image").alias("unit"),
        "corpus",
        F.col("source_key").alias("key"),
        "reason",
        F.coalesce("detail", F.lit("")).alias("detail"),
    )


_FIELDS = ["format", "width", "height", "reason", "detail"]


def _header(
    content: bytes | None, max_pixels: int
) -> tuple[str | None, int | None, int | None, str | None, str | None]:
    if content is None:
        return None, None, None, "too_many_bytes", "larger than ingest.max_bytes"
    try:
        found = probe(content, max_pixels)
    except ImageError as error:
        return None, None, None, error.reason, error.detail
    return found.format, found.width, found.height, None, None
