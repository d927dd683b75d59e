from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables
from twigma_spark.config.settings import Config
from twigma_spark.stages import inputs, specs
from twigma_spark.transforms import summaries


def table(spark: SparkSession, name: str, columns: str, *rows: Sequence[Any]) -> DataFrame:
    """Return rows of a declared table from the named columns; the others are null, or empty text in a key."""
    return tables.table(spark, name, [dict(zip(columns.split(), row, strict=True)) for row in rows])


def rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    return sorted((tuple(r) for r in frame.collect()), key=repr)


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    early, late = datetime(2021, 1, 31, 23), datetime(2022, 5, 1)
    return table(
        spark, "images", "image_id corpus source_key created_at sensitive",
        ("i1", "p", "k1", early, True), ("i2", "p", "k2", late, False), ("i3", "p", "k3", None, None),
        ("i4", "p", "k4", late, None), ("i5", "art", "k1", None, None),
    )  # fmt: skip


@pytest.fixture(scope="module")
def duplicates(spark: SparkSession) -> DataFrame:
    return table(spark, "duplicates", "image_id canonical_id tier", ("i2", "i1", "bytes"), ("i4", "i1", "media"))


def test_every_file_has_one_outcome(spark: SparkSession, images: DataFrame, duplicates: DataFrame) -> None:
    rejects = table(
        spark, "rejects", "stage unit corpus key reason",
        ("ingest", "image", "p", "bad1", "empty_file"), ("ingest", "image", "p", "k1", "duplicate_key"),
        ("ingest", "metadata", "p", "m#1", "not_utf8"), ("ingest", "image", "lost", "x", "empty_file"),
        ("embed", "image", "p", "k3", "undecodable"), ("embed", "image", "p", "k4", "undecodable"),
        ("caption", "image", "p", "k1", "undecodable"),
    )  # fmt: skip
    found = {(r["corpus"], r["outcome"]): r for r in summaries.image_outcomes(images, duplicates, rejects).collect()}
    assert {k: r["files"] for k, r in found.items()} == {
        ("p", "kept"): 1,
        ("p", "bytes"): 1,
        ("p", "rejected"): 4,
        ("art", "kept"): 1,
        ("lost", "rejected"): 1,
    }
    assert found["p", "kept"]["since"] == datetime(2021, 1, 31, 23) and found["art", "kept"]["until"] is None


def test_safety_counts_kept_images_by_what_is_known(
    spark: SparkSession, images: DataFrame, duplicates: DataFrame
) -> None:
    model = specs.image_encoder(Config())
    head = "image_id model_id preprocess_rev"
    own = [(name, model.model_id, model.preprocess_rev) for name in ("i1", "i2", "i3")]
    embeddings = table(spark, "embeddings", head, *own, ("i4", "another", model.preprocess_rev))
    kept = inputs.kept_images(Config(), images, embeddings, duplicates)
    assert rows(kept) == [("i1", "p", True), ("i3", "p", None)]
    scores = table(
        spark, "scores", "image_id model_id kind score",
        ("i1", "m1", "nsfw", 0.5), ("i1", "m2", "nsfw", 0.51),
        ("i2", "m1", "nsfw", 1.0), ("i3", "m1", "aesthetic", 1.0),
    )  # fmt: skip
    found = summaries.safety(kept, scores, 0.5)
    assert found.columns == ["corpus", "images", "scored", "above", "flagged", "unknown"]
    assert rows(found) == [("p", 2, 1, 1, 1, 1)]


@pytest.fixture(scope="module")
def clusters(spark: SparkSession) -> DataFrame:
    return table(
        spark, "clusters", "image_id clustering_id corpus cluster distance",
        ("i1", "t", "p", 0, 0.1), ("i2", "t", "p", 0, 0.1), ("i3", "t", "p", 1, 0.1),
        ("i4", "t", "p", 0, 0.1), ("i1", "o", "p", 0, 0.1), ("i5", "o", "art", 0, 0.1),
    )  # fmt: skip


def test_origin_counts(clusters: DataFrame) -> None:
    assert rows(summaries.origin_counts(clusters, ["o"])) == [("o", 0, "art", 1), ("o", 0, "p", 1)]
    assert rows(summaries.origin_counts(clusters, [])) == []


def test_months_leave_out_what_is_not_dated(clusters: DataFrame, images: DataFrame) -> None:
    found = summaries.theme_months(clusters, images, ["t"])
    assert rows(found) == [("t", 0, "2021-01", 1), ("t", 0, "2022-05", 2)]


@pytest.fixture(scope="module")
def neighbours(spark: SparkSession) -> DataFrame:
    return table(
        spark, "neighbours", "image_id reference rank neighbour_id similarity",
        ("a", "art", 1, "x", 0.5), ("a", "photo", 1, "y", 0.5),
        ("b", "art", 1, "x", 0.7), ("b", "photo", 1, "y", 1.0), ("b", "art", 2, "z", 0.1),
    )  # fmt: skip


def test_best_matches_count_whose_is_nearest(neighbours: DataFrame) -> None:
    found = {r["reference"]: r for r in summaries.best_matches(neighbours).collect()}
    assert {k: (r["images"], r["nearest"]) for k, r in found.items()} == {"art": (2, 1), "photo": (2, 1)}
    assert found["art"]["mean"] == pytest.approx(0.6) and found["art"]["deviation"] == pytest.approx(0.02**0.5)


def test_one_match_has_no_deviation(spark: SparkSession) -> None:
    one = table(spark, "neighbours", "image_id reference rank neighbour_id similarity", ("a", "art", 1, "x", 0.5))
    assert rows(summaries.best_matches(one)) == [("art", 1, 1, 0.5, 0.0)]


def test_bins_hold_their_lower_edge_and_the_top_holds_one(spark: SparkSession) -> None:
    values = [0.58, 0.5799, 1.0, 1.0000001, -0.01]
    near = [(str(i), "art", 1, "x", v) for i, v in enumerate(values)]
    found = summaries.similarity_bins(
        table(spark, "neighbours", "image_id reference rank neighbour_id similarity", *near), 0.02
    )
    assert sorted((round(edge, 6), n) for _, edge, n in rows(found)) == [
        (-0.02, 1),
        (0.56, 1),
        (0.58, 1),
        (0.98, 2),
    ]


def test_rejects_keep_a_few_examples_and_the_whole_count(spark: SparkSession) -> None:
    many = [("ingest", "image", "p", f"k{i}", "empty_file", "0 bytes") for i in (3, 1, 2)]
    found = summaries.reject_rows(table(spark, "rejects", "stage unit corpus key reason detail", *many), 2)
    assert [(r["key"], r["count"]) for r in found.orderBy("key").collect()] == [("k1", 3), ("k2", 3)]


def test_the_last_good_run_of_each_stage(spark: SparkSession) -> None:
    runs = table(
        spark, "runs", "run_id stage status started_at seconds",
        ("1", "embed", "ok", datetime(2022, 1, 1), 1.0), ("2", "embed", "ok", datetime(2022, 1, 2), 2.0),
        ("3", "embed", "failed", datetime(2022, 1, 3), 3.0),
        ("1", "ingest", "failed", datetime(2022, 1, 1), 4.0),
    )  # fmt: skip
    assert [(r["stage"], r["seconds"]) for r in summaries.last_runs(runs).collect()] == [("embed", 2.0)]
