"""Rows of the tables that several stages share: statistics in `results`, files in `artifacts`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact
from twigma_spark.schemas import ARTIFACTS, RESULTS
from twigma_spark.stats.estimate import Named
from twigma_spark.stats.sample import Statistic

Row = tuple[object, ...]


def statistics(stage: str, analysis: str, found: Iterable[Statistic]) -> Iterator[Row]:
    """Yield statistics as rows of the table `results`."""
    for s in found:
        yield (stage, analysis, s.metric, s.group, s.estimate, s.low, s.high, s.n, s.unit, s.method)


def artifacts_of(artifacts: DataFrame, stage: str) -> list[Artifact]:
    """Return the files that a stage has made so far."""
    names = [field.name for field in fields(Artifact)]
    return [Artifact(*row) for row in artifacts.where(F.col("stage") == stage).select(*names).collect()]


def artifact_rows(spark: SparkSession, stage: str, made: Iterable[Artifact]) -> DataFrame:
    """Return the files of a stage as rows of the table `artifacts`."""
    rows = [{"stage": stage, **asdict(artifact)} for artifact in made]
    return arrow.local_frame(spark, [tuple(row[n] for n in ARTIFACTS.column_names) for row in rows], ARTIFACTS.schema)


def named(stage: str, found: Iterable[Named]) -> Iterator[Row]:
    """Yield statistics that know their place as rows of the table `results`."""
    for each in found:
        v = each.value
        yield (stage, each.analysis, each.metric, each.group, v.estimate, v.low, v.high, v.n, v.unit, v.method)


def results(spark: SparkSession, rows: Iterable[Row]) -> DataFrame:
    """Return rows as a frame of the table `results`."""
    return arrow.local_frame(spark, list(rows), RESULTS.schema)
