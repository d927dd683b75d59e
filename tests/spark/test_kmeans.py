"""Spherical k-means over a table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.errors import ModelError, TwigmaError
from twigma_spark.estimators.kmeans import KMeansModel, KMeansSpec, assign, fit
from twigma_spark.io import arrow

SCHEMA = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"


def table(spark: SparkSession, vectors: np.ndarray) -> DataFrame:
    ids = pa.array([f"{n:05d}" for n in range(len(vectors))])
    columns = [ids, pa.array(["posts"] * len(vectors)), arrow.lists(vectors.astype(np.float32))]
    return arrow.frame_of(spark, [pa.record_batch(columns, ["image_id", "corpus", "embedding"])], SCHEMA)


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    """600 vectors of any length around four directions, 60, 120, 180 and 240 of them."""
    rng = np.random.default_rng(4)
    label = np.repeat(np.arange(4), [60, 120, 180, 240])
    vectors = 4 * np.eye(4, 12)[label] + 0.5 * rng.normal(size=(600, 12))
    return (vectors * rng.uniform(0.5, 3.0, (600, 1))).astype(np.float32), label


@pytest.mark.parametrize("partitions", [1, 5])
def test_planted_clusters_are_found(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray], partitions: int
) -> None:
    vectors, label = planted
    frame = table(spark, vectors).repartition(partitions)
    model = fit(frame, KMeansSpec(4, seed=1, summaries=32))
    assert model.centroids.shape == (4, 12) and model.centroids.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(model.centroids, axis=1), 1, atol=1e-5)
    rows = assign(frame, model).orderBy("image_id").toPandas()
    pairs = {(a, b) for a, b in zip(rows.cluster, label, strict=True)}
    assert len(pairs) == 4
    cosine = arrow.unit(vectors) @ model.centroids.T
    assert (rows.cluster == cosine.argmax(axis=1)).all()
    np.testing.assert_allclose(rows.distance, 1 - cosine.max(axis=1), atol=1e-5)
    assert list(rows.columns) == ["image_id", "corpus", "cluster", "distance"]


def test_the_same_seed_and_partitioning_give_the_same_centres(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    frame = table(spark, planted[0]).repartition(3, "image_id")
    one, other = (fit(frame, KMeansSpec(5, seed=2, summaries=24)) for _ in range(2))
    np.testing.assert_array_equal(one.centroids, other.centroids)


def test_more_clusters_than_vectors_are_refused(spark: SparkSession) -> None:
    few = table(spark, np.eye(3))
    with pytest.raises(ModelError, match=r"k must be at most the number of vectors\. Got k=4 and 3 vectors"):
        fit(few, KMeansSpec(4, seed=0))
    with pytest.raises(TwigmaError, match="Got k=1 and 0 vectors"):
        fit(few.limit(0), KMeansSpec(1, seed=0))
    assert fit(few, KMeansSpec(3, seed=0)).centroids.sum() == 3


def test_fewer_different_vectors_than_clusters_leave_some_empty(spark: SparkSession) -> None:
    same = np.repeat(np.array([[3.0, 0.0], [0.0, 2.0]]), 400, axis=0)
    frame = table(spark, same).coalesce(1)
    rows = assign(frame, fit(frame, KMeansSpec(4, seed=0, summaries=8))).toPandas()
    sizes = rows.groupby("cluster").size()
    assert sizes.sum() == 800 and sizes.max() == 400
    np.testing.assert_allclose(rows.distance, 0, atol=1e-5)


def test_of_equal_centres_the_first_is_taken(spark: SparkSession) -> None:
    model = KMeansModel(np.array([[0, 1], [1, 0], [1, 0]], np.float32))
    row = assign(table(spark, np.array([[5.0, 0.0]])), model).first()
    assert row is not None and (row.cluster, row.distance) == (1, 0.0)
