"""Which embeddings the vector engine takes, and the counts that shares are made of."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from twigma_spark.transforms.shares import corpus_counts, monthly_counts
from twigma_spark.transforms.vectors import kept, of_model, unusable, usable

VECTORS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
NAN, INF = float("nan"), float("inf")


def test_vectors_are_of_one_model(spark: SparkSession) -> None:
    rows = [("a", "m", "1", "c", 1, [1.0]), ("b", "m", "2", "c", 1, [1.0]), ("c", "n", "1", "c", 1, [1.0])]
    schema = "image_id STRING, model_id STRING, preprocess_rev STRING, corpus STRING, dim INT, embedding ARRAY<FLOAT>"
    assert [tuple(r) for r in of_model(spark.createDataFrame(rows, schema), "m", "1").collect()] == [("a", "c", [1.0])]


def test_duplicates_are_not_kept(spark: SparkSession) -> None:
    vectors = spark.createDataFrame([("a", "c", [1.0]), ("b", "c", [1.0])], VECTORS)
    duplicates = spark.createDataFrame([("b", "a"), ("x", "a")], "image_id STRING, canonical_id STRING")
    found = kept(vectors, duplicates)
    assert found.columns == ["image_id", "corpus", "embedding"]
    assert [r.image_id for r in found.collect()] == ["a"]


def test_every_vector_is_usable_or_refused_with_a_reason(spark: SparkSession) -> None:
    vectors = {
        "good": [0.0, -1.0, 2.0], "small": [1e-6, 0.0, 0.0],
        "nan": [NAN, 1.0, 1.0], "inf": [1.0, INF, 0.0], "minus": [-INF, 1.0, 1.0], "null": [1.0, None, 1.0],
        "huge": [1e30, 1.0, 1.0], "deep": [1.0, -1e30, 1.0], "only": [None, None, None],
        "zero": [0.0, -0.0, 0.0], "tiny": [1e-30, 0.0, 0.0],
        "short": [1.0, 1.0], "long": [1.0] * 4, "empty": [], "none": None,
    }  # fmt: skip
    frame = spark.createDataFrame([(name, "c", vector) for name, vector in vectors.items()], VECTORS)
    refused = unusable(frame, 3)
    assert refused.columns == ["image_id", "corpus", "reason", "detail"]
    reasons: dict[str, set[str]] = {}
    for row in refused.collect():
        reasons.setdefault(row.reason, set()).add(row.image_id)
        assert row.detail
    assert reasons == {
        "vector_not_finite": {"nan", "inf", "minus", "null", "huge", "deep", "only"},
        "vector_zero": {"zero", "tiny"},
        "vector_length": {"short", "long", "empty", "none"},
    }
    assert {r.image_id for r in usable(frame, 3).collect()} == {"good", "small"}


def test_corpora_are_counted_by_cluster(spark: SparkSession) -> None:
    rows = [(0, "a"), (0, "a"), (0, "b"), (1, "a")]
    found = corpus_counts(spark.createDataFrame(rows, "cluster INT, corpus STRING")).collect()
    assert {tuple(r) for r in found} == {(0, "a", 2, 3, 3), (0, "b", 1, 3, 1), (1, "a", 1, 1, 3)}


def test_months_have_a_row_for_every_cluster(spark: SparkSession) -> None:
    clusters = spark.createDataFrame([("a", 0), ("b", 0), ("c", 1), ("d", 2)], "image_id STRING, cluster INT")
    march, may = datetime(2022, 3, 31, 12), datetime(2022, 5, 1)
    images = spark.createDataFrame(
        [("a", march), ("b", may), ("c", may), ("d", None)], "image_id STRING, created_at TIMESTAMP"
    )
    found = monthly_counts(clusters, images)
    assert found.columns == ["month", "cluster", "n", "in_month"]
    assert {tuple(r) for r in found.collect()} == {
        ("2022-03", 0, 1, 1), ("2022-03", 1, 0, 1), ("2022-03", 2, 0, 1),
        ("2022-05", 0, 1, 2), ("2022-05", 1, 1, 2), ("2022-05", 2, 0, 2),
    }  # fmt: skip
