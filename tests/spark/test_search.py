"""Neighbours of one table's images in another's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.estimators.faiss_index import build
from twigma_spark.estimators.neighbour_search import search
from twigma_spark.io import arrow

SCHEMA = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
COLUMNS = ["image_id", "rank", "neighbour_id", "similarity"]


def table(spark: SparkSession, ids: list[str], vectors: np.ndarray) -> DataFrame:
    columns = [pa.array(ids), pa.array(["c"] * len(ids)), arrow.lists(vectors.astype(np.float32))]
    return arrow.frame_of(spark, [pa.record_batch(columns, ["image_id", "corpus", "embedding"])], SCHEMA)


def test_neighbours_are_those_of_brute_force_however_the_tables_are_cut(spark: SparkSession) -> None:
    rng = np.random.default_rng(1)
    ids, places = [f"r{n:03d}" for n in range(120)], rng.integers(0, 80, 120)
    references = rng.normal(size=(80, 6))[places] * rng.uniform(0.5, 2, (120, 1))  # copies, at other lengths
    queries, names = rng.normal(size=(50, 6)), [f"q{n:03d}" for n in range(50)]
    answers = []
    for cut, rows in ((1, 64), (4, 7)):
        index = build(table(spark, ids, references).repartition(cut))
        assert index.size == 120
        found = search([index], table(spark, names, queries).repartition(5 - cut), 5, rows)
        answers.append(found.orderBy("image_id", "rank").toPandas())
    assert answers[0].equals(answers[1])
    assert list(answers[0].columns) == COLUMNS
    a, b = (x / np.linalg.norm(x, axis=1)[:, None] for x in (queries, references))
    cosine = np.sort(np.round(a @ b.T, 6), axis=1)[:, :-6:-1]
    np.testing.assert_allclose(answers[0].similarity.to_numpy().reshape(50, 5), cosine, atol=2e-6)
    assert answers[0]["rank"].tolist() == [1, 2, 3, 4, 5] * 50
    place = {name: n for n, name in enumerate(ids)}
    pairs = [(int(i[1:]), place[j]) for i, j in zip(answers[0].image_id, answers[0].neighbour_id, strict=True)]
    np.testing.assert_allclose([a[i] @ b[j] for i, j in pairs], answers[0].similarity, atol=2e-6)


def test_more_neighbours_than_references_gives_all_of_them(spark: SparkSession) -> None:
    index = build(table(spark, ["b", "a", "c"], np.array([[0, 2], [0, 1], [1, 0]])))
    rows = search([index], table(spark, ["q"], np.array([[0, 7]])), 9, 10).orderBy("rank").collect()
    assert [tuple(r) for r in rows] == [("q", 1, "a", 1.0), ("q", 2, "b", 1.0), ("q", 3, "c", 0.0)]


@pytest.mark.parametrize("empty", ["references", "queries"])
def test_an_empty_side_gives_no_neighbours(spark: SparkSession, empty: str) -> None:
    some = table(spark, ["a"], np.ones((1, 2)))
    references, queries = (some.limit(0), some) if empty == "references" else (some, some.limit(0))
    found = search([build(references)], queries, 5, 10)
    assert found.columns == COLUMNS and found.count() == 0


def test_an_image_may_find_itself(spark: SparkSession) -> None:
    same = table(spark, ["a", "b"], np.eye(2))
    rows = search([build(same)], same, 1, 1).orderBy("image_id").collect()
    assert [(r.image_id, r.neighbour_id) for r in rows] == [("a", "a"), ("b", "b")]
