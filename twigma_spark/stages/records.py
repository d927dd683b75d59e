"""Rows of the tables that several stages share: statistics in `results`, files in `artifacts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, fields

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark import metrics
from twigma_spark.errors import SchemaError
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact
from twigma_spark.results import COLUMNS, Result, Value
from twigma_spark.schemas import ARTIFACTS, RESULTS


def artifacts_of(artifacts: DataFrame, stage: str) -> list[Artifact]:
    """Return the files that a stage has made so far."""
    names = [field.name for field in fields(Artifact)]
    return [Artifact(*row) for row in artifacts.where(F.col("stage") == stage).select(*names).collect()]


def artifact_rows(spark: SparkSession, stage: str, artifacts: Iterable[Artifact]) -> DataFrame:
    """Return the files of a stage as rows of the table `artifacts`."""
    rows = [{"stage": stage, **asdict(artifact)} for artifact in artifacts]
    return arrow.local_frame(spark, [tuple(row[n] for n in ARTIFACTS.column_names) for row in rows], ARTIFACTS.schema)


def result_rows(spark: SparkSession, stage: str, results: Iterable[Result]) -> DataFrame:
    """Return the results of a stage as rows of the table `results`."""
    rows = [(stage, r.analysis, r.metric, dict(r.labels), r.key, *astuple(r.value)) for r in results]
    return arrow.local_frame(spark, rows, RESULTS.schema)


def read_results(table: DataFrame) -> list[Result]:
    """Return rows of the table `results`, by analysis and metric and then in order of their labels.

    Raises:
        SchemaError: rows were written before results had labels.
    """
    columns = ("stage", "analysis", "metric", "labels", *COLUMNS)
    rows = table.orderBy("analysis", "metric", "labels_key").select(*columns).collect()
    if older := sorted({row["stage"] for row in rows if row["labels"] is None}):
        raise SchemaError(
            f"table 'results' must have labels. Got rows of an older version of {', '.join(older)}; "
            "run each of these stages once more: twigma stage NAME --force."
        )
    return [
        Result(analysis, metric, _in_order(analysis, labels), Value(*value))
        for _, analysis, metric, labels, *value in rows
    ]


def _in_order(analysis: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels in the catalogue's order; Spark does not keep the order of a map."""
    names = [name for name in metrics.LABELS.get(analysis, ()) if name in labels]
    return {name: labels[name] for name in dict.fromkeys([*names, *sorted(labels)])}
