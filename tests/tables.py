"""Rows of declared tables for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.schemas import TABLES
from twigma_spark.stages import specs


def table(spark: SparkSession, name: str, rows: Sequence[dict[str, Any]]) -> DataFrame:
    """Return rows of a declared table; what is not given is null, or empty text in a key."""
    schema = TABLES[name].schema
    full = [tuple(r.get(f.name, None if f.nullable else "") for f in schema.fields) for r in rows]
    return local_frame(spark, full, schema)


def vector(number: int) -> dict[str, Any]:
    """Return a row of `embeddings` of the image with this number, by the default encoder."""
    model = specs.image_encoder(Config())
    made_by = {"model_id": model.model_id, "preprocess_rev": model.preprocess_rev}
    return {"image_id": f"{number:032x}", "corpus": "posts", "embedding": [1.0], **made_by}
