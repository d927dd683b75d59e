"""Readers of plain texts: one text a line."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Texts
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, local_files, remote_files
from twigma_spark.io.frames import union
from twigma_spark.io.spark_versions import replace_broken_utf8


def read_texts(spark: SparkSession, files: Sequence[Texts]) -> DataFrame:
    """Return corpus and text of every line; bytes that are not UTF-8 are U+FFFD.

    Raises:
        CorpusError: where a path does not exist.
    """
    none = arrow.local_frame(spark, [], "corpus STRING, text STRING")
    return union([none, *(_lines(spark, file) for file in files)])


def fingerprint(spark: SparkSession, files: Sequence[Texts]) -> str:
    """Return a hash of the names, sizes and times of all files; contents are not read."""
    return "; ".join(
        local_files.fingerprint(file.path) or remote_files.fingerprint(_load(spark, file, "binaryFile"), [])
        for file in files
    )


def _lines(spark: SparkSession, file: Texts) -> DataFrame:
    # Spark takes a line's bytes as they are.
    text = replace_broken_utf8(F.col("value"))
    return _load(spark, file, "text").select(F.lit(file.name).alias("corpus"), text.alias("text"))


def _load(spark: SparkSession, file: Texts, kind: str) -> DataFrame:
    try:
        return spark.read.format(kind).load(file.path)
    except AnalysisException as error:
        raise CorpusError(
            f"texts '{file.name}': path must be an existing file or folder of text. Got {file.path!r}."
        ) from error
