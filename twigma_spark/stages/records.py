"""Rows of the tables that several stages share: statistics in `results`, files in `artifacts`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, astuple, fields

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact
from twigma_spark.results import COLUMNS, Result, Value
from twigma_spark.schemas import ARTIFACTS, RESULTS


def artifacts_of(artifacts: DataFrame, stage: str) -> list[Artifact]:
    """Return the files that a stage has made so far."""
    names = [field.name for field in fields(Artifact)]
    return [Artifact(*row) for row in artifacts.where(F.col("stage") == stage).select(*names).collect()]


def artifact_rows(spark: SparkSession, stage: str, made: Iterable[Artifact]) -> DataFrame:
    """Return the files of a stage as rows of the table `artifacts`."""
    rows = [{"stage": stage, **asdict(artifact)} for artifact in made]
    return arrow.local_frame(spark, [tuple(row[n] for n in ARTIFACTS.column_names) for row in rows], ARTIFACTS.schema)


def result_rows(spark: SparkSession, stage: str, results: Iterable[Result]) -> DataFrame:
    """Return the results of a stage as rows of the table `results`."""
    rows = [(stage, r.analysis, r.metric, dict(r.labels), r.key, *astuple(r.value)) for r in results]
    return arrow.local_frame(spark, rows, RESULTS.schema)


def read_results(table: DataFrame) -> list[Result]:
    """Return rows of the table `results`, by analysis and metric and then in order of their labels."""
    columns = ("analysis", "metric", "labels", *COLUMNS)
    rows = table.orderBy("analysis", "metric", "labels_key").select(*columns).collect()
    return [Result(analysis, metric, dict(labels), Value(*value)) for analysis, metric, labels, *value in rows]
