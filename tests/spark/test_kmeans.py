"""k-means over a table."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import adjusted_rand_score

from twigma_spark.errors import ModelError, TwigmaError
from twigma_spark.estimators import clustering
from twigma_spark.estimators.coreset import Metric
from twigma_spark.estimators.drawing import draw_evenly
from twigma_spark.estimators.engines import ENGINES
from twigma_spark.estimators.kmeans import KMeansModel, KMeansSpec, assign, assign_clusters, fit, refine, summarise
from twigma_spark.io import arrow
from twigma_spark.io.arrow import local_frame
from twigma_spark.vectors import unit_rows

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


@pytest.mark.parametrize("partitions", [1, 3, 16])
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
    cosine = unit_rows(vectors) @ model.centroids.T
    assert (rows.cluster == cosine.argmax(axis=1)).all()
    np.testing.assert_allclose(rows.distance, 1 - cosine.max(axis=1), atol=1e-5)
    assert list(rows.columns) == ["image_id", "corpus", "cluster", "distance"]


def test_a_large_corpus_leaves_the_small_ones_clusters_of_their_own_where_draws_are_even(spark: SparkSession) -> None:
    """Fitted to all rows, two clusters share the large corpus and the two small ones are one."""
    rng = np.random.default_rng(3)
    shape = {"large": (3000, 0), "one": (150, 4), "other": (150, 5)}
    rows = []
    for corpus, (n, axis) in shape.items():
        spread = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]) if axis else np.array([0.3, 0.9, 0.1, 0.1, 0.1, 0.1])
        middle = np.eye(6)[axis] + (0.9 * np.eye(6)[3] if axis else 0)
        rows += [(f"{corpus}{i}", corpus, v.tolist()) for i, v in enumerate(middle + spread * rng.normal(size=(n, 6)))]
    frame = local_frame(spark, rows, SCHEMA)
    spec = KMeansSpec(3, seed=1, metric="euclidean", summaries=256)
    even = draw_evenly(frame, 100, seed=1)
    counts = {r["corpus"]: r["count"] for r in even.groupBy("corpus").count().collect()}
    assert counts["one"] == counts["other"] == 150 and 110 < counts["large"] < 190
    agree = []
    for fitted in (frame, even):
        found = assign(frame, fit(fitted, spec)).toPandas()
        small = found[found.corpus != "large"]
        agree.append(adjusted_rand_score(small.corpus, small.cluster))
    assert agree[0] < 0.3 and agree[1] > 0.8, agree


def test_a_tiny_corpus_does_not_thin_the_others(spark: SparkSession) -> None:
    frame = local_frame(spark, [(str(i), "a" if i else "b", [1.0]) for i in range(50)], SCHEMA)
    assert draw_evenly(frame, 10, 1).count() == 50 and draw_evenly(frame, 100, 1).count() == 50


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


def test_what_cannot_be_clustered_is_told_apart_and_changes_nothing(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    good = table(spark, planted[0])
    rows = [("nan", "p", [float("nan")] * 12), ("zero", "p", [0.0] * 12), ("long", "p", [1.0] * 13), ("none", "p", [])]
    bad = local_frame(spark, [*rows, ("null", "p", None), ("inf", "p", [1.0] * 11 + [float("inf")])], SCHEMA)
    spec = KMeansSpec(4, seed=1, summaries=700)
    model, other = fit(good.unionByName(bad).coalesce(1), spec), fit(good.coalesce(1), spec)
    np.testing.assert_array_equal(model.centroids, other.centroids)
    found = {r.image_id: r for r in assign_clusters(bad, model).collect()}
    assert {i: r.reason for i, r in found.items()} == {
        "nan": "vector_not_finite",
        "inf": "vector_not_finite",
        "zero": "vector_zero",
        "long": "vector_length",
        "none": "vector_length",
        "null": "vector_length",
    }
    assert all(r.cluster is None and r.distance is None for r in found.values())
    assert assign(good.unionByName(bad), model).count() == 600


@pytest.mark.spark4
def test_the_euclidean_metric_sees_lengths(spark: SparkSession) -> None:
    vectors = np.array([[1.0, 0.0]] * 20 + [[50.0, 0.0]] * 20) + np.random.default_rng(0).normal(size=(40, 2)) / 100
    frame = table(spark, vectors)
    rows = assign(frame, fit(frame, KMeansSpec(2, 0, "euclidean"))).orderBy("image_id").toPandas()
    assert rows.cluster.nunique() == 2 and len(set(rows.cluster[:20])) == 1
    assert rows.distance.max() < 0.06


def test_refinement_never_worsens_and_ends_at_a_fixed_point(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    rng = np.random.default_rng(3)
    vectors = planted[0] + rng.normal(size=planted[0].shape).astype(np.float32)
    frame = table(spark, vectors).repartition(3, "image_id")
    cost = [
        1 - (unit_rows(vectors) @ fit(frame, KMeansSpec(6, 1, summaries=8, refine=n, tol=0)).centroids.T).max(1).mean()
        for n in (0, 1, 4)
    ]
    assert cost[0] > cost[1] >= cost[2]


def test_an_empty_centre_is_filled_by_a_refinement(spark: SparkSession) -> None:
    frame = table(spark, np.array([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5))
    start = KMeansModel(np.array([[1, 0], [-1, 0]], np.float32))
    found = refine(frame, start, KMeansSpec(2, 0, refine=3, tol=0))
    np.testing.assert_allclose(found.centroids, np.eye(2), atol=1e-6)


def test_a_summary_counts_every_vector_however_the_table_is_cut(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    for cut in (1, 3, 16):
        found = summarise(table(spark, planted[0]).repartition(cut), KMeansSpec(4, 1, summaries=8))
        assert found.rows == 600 and len(found.points) <= 8 * cut
        np.testing.assert_allclose(found.weights @ found.points, unit_rows(planted[0]).sum(axis=0), atol=1e-2)


def test_of_a_large_table_the_same_rows_are_drawn_however_it_is_cut(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "LEAST_ROWS", 50)
    spec = KMeansSpec(4, 1, rows_a_cluster=50, summaries=600)
    drawn = [summarise(table(spark, planted[0]).repartition(cut), spec) for cut in (1, 3)]
    assert 150 < drawn[0].rows < 250
    one, other = (found.points[np.lexsort(found.points.T)] for found in drawn)
    np.testing.assert_array_equal(one, other)
    found = fit(table(spark, planted[0]), spec).centroids
    labels = assign(table(spark, planted[0]), KMeansModel(found)).orderBy("image_id").toPandas().cluster
    assert adjusted_rand_score(planted[1], labels) == 1


@pytest.mark.parametrize("metric", [pytest.param("cosine", marks=pytest.mark.spark4), "euclidean"])
def test_spark_ml_finds_the_same_planted_clusters(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray], metric: str
) -> None:
    vectors = unit_rows(planted[0]) if metric == "euclidean" else planted[0]
    frame = table(spark, vectors)
    labels = [
        assign(frame, ENGINES[engine](frame, KMeansSpec(4, 1, metric))).orderBy("image_id").toPandas().cluster
        for engine in ("native", "spark-ml")
    ]
    assert len(set(zip(*labels, strict=True))) == 4


def test_rapids_is_asked_for_unit_vectors_and_refused_where_it_is_not_installed(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(spark, np.array([[3.0, 0.0], [0.0, 5.0]]))
    with pytest.raises(ModelError, match=r"cluster\.engine must be native or spark-ml .* Got 'rapids'"):
        ENGINES["rapids"](frame, KMeansSpec(2, 0))

    class Found:
        """Stands for the library's model: the vectors that it was given are its centres."""

        def __init__(self, rows: list[list[float]]) -> None:
            self.rows = rows

        def clusterCenters(self) -> list[list[float]]:
            return self.rows

    class Estimator:
        def __init__(self, **settings: object) -> None:
            assert settings["k"] == 2 and settings["seed"] == 0

        def setFeaturesCol(self, name: str) -> Estimator:
            assert name == "embedding"
            return self

        def fit(self, frame: DataFrame) -> Found:
            return Found([r.embedding for r in frame.collect()])

    monkeypatch.setitem(sys.modules, "spark_rapids_ml.clustering", SimpleNamespace(KMeans=Estimator))
    found = ENGINES["rapids"](frame, KMeansSpec(2, 0)).centroids
    assert sorted(found.tolist()) == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_many_clusters_are_fitted_to_rows_that_are_drawn_and_refined_on_all(
    spark: SparkSession, planted: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    monkeypatch.setattr(clustering, "LEAST_ROWS", 50)
    monkeypatch.setattr(clustering, "MOST_SUMMARISED", 3)
    monkeypatch.setattr(clustering, "DRAWN", 50)
    bad = [("zero", "p", [0.0] * 12), ("long", "p", [1.0] * 13), ("none", "p", []), ("null", "p", None)]
    frame, spec = table(spark, planted[0]), KMeansSpec(4, 1, metric)
    assert (spec.draws, spec.rounds, len(spec.seeds), KMeansSpec(3, 1).rounds) == (True, 2, 1, 0)
    drawn = summarise(frame.unionByName(local_frame(spark, bad, SCHEMA)).repartition(3), spec)
    again = summarise(frame.coalesce(1), spec)
    assert 150 < drawn.rows < 250 and (drawn.weights == 1).all()
    of = unit_rows(planted[0]) if metric == "cosine" else planted[0]
    place = {row.tobytes(): n for n, row in enumerate(of)}
    # Other rows of the table change how many are drawn, not which come first.
    assert sorted(place[row.tobytes()] for row in drawn.points) == [place[row.tobytes()] for row in drawn.points]
    assert {row.tobytes() for row in again.points} >= {row.tobytes() for row in drawn.points}
    cost = [
        assign(frame, fit(frame, replace(spec, refine=rounds, tol=0))).toPandas().distance.pow(power).mean()
        for rounds, power in ((0, 1 if metric == "cosine" else 2), (2, 1 if metric == "cosine" else 2))
    ]
    assert cost[1] <= cost[0]
