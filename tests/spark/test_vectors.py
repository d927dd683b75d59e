"""Which embeddings the vector engine takes."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.vectors import fault, of_model

VECTORS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
NAN, INF = float("nan"), float("inf")


def test_vectors_are_of_one_model(spark: SparkSession) -> None:
    rows = [("a", "m", "1", "c", 1, [1.0]), ("b", "m", "2", "c", 1, [1.0]), ("c", "n", "1", "c", 1, [1.0])]
    schema = "image_id STRING, model_id STRING, preprocess_rev STRING, corpus STRING, dim INT, embedding ARRAY<FLOAT>"
    assert [tuple(r) for r in of_model(local_frame(spark, rows, schema), "m", "1").collect()] == [("a", "c", [1.0])]


def test_every_vector_is_usable_or_refused_with_a_reason(spark: SparkSession) -> None:
    vectors = {
        "good": [0.0, -1.0, 2.0], "small": [1e-6, 0.0, 0.0],
        "nan": [NAN, 1.0, 1.0], "inf": [1.0, INF, 0.0], "minus": [-INF, 1.0, 1.0], "null": [1.0, None, 1.0],
        "huge": [1e30, 1.0, 1.0], "deep": [1.0, -1e30, 1.0], "only": [None, None, None],
        "zero": [0.0, -0.0, 0.0], "tiny": [1e-30, 0.0, 0.0],
        "short": [1.0, 1.0], "long": [1.0] * 4, "empty": [], "none": None,
    }  # fmt: skip
    frame = local_frame(spark, [(name, "c", vector) for name, vector in vectors.items()], VECTORS)
    told = frame.select("image_id", fault(F.col("embedding"), 3).alias("reason")).collect()
    reasons: dict[str | None, set[str]] = {}
    for row in told:
        reasons.setdefault(row.reason, set()).add(row.image_id)
    assert reasons == {
        "vector_not_finite": {"nan", "inf", "minus", "null", "huge", "deep", "only"},
        "vector_zero": {"zero", "tiny"},
        "vector_length": {"short", "long", "empty", "none"},
        None: {"good", "small"},
    }
    assert frame.where(fault(F.col("embedding")).isNull()).count() == 4  # of any length
