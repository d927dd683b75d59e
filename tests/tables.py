"""Rows of declared tables for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.schemas import TABLES


def table(spark: SparkSession, name: str, rows: Sequence[dict[str, Any]]) -> DataFrame:
    """Return rows of a declared table; what is not given is null, or empty text in a key."""
    schema = TABLES[name].schema
    full = [tuple(r.get(f.name, None if f.nullable else "") for f in schema.fields) for r in rows]
    return spark.createDataFrame(full, schema)
