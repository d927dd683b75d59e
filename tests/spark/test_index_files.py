"""Index files, the same answer on the driver and on executors, and measured recall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.errors import ModelError
from twigma_spark.estimators import faiss_index, index_files, neighbour_search, recall
from twigma_spark.estimators.index_types import Choice
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import ArtifactFolder
from twigma_spark.vectors import unit_rows

SCHEMA = "image_id STRING, embedding ARRAY<FLOAT>"


def table(spark: SparkSession, name: str, vectors: np.ndarray) -> DataFrame:
    ids = pa.array([f"{name}{n:04d}" for n in range(len(vectors))])
    batch = pa.record_batch([ids, arrow.lists(vectors.astype(np.float32))], ["image_id", "embedding"])
    return arrow.frame_of(spark, [batch], SCHEMA)


@pytest.fixture(scope="module")
def sides(spark: SparkSession) -> tuple[DataFrame, index_files.IndexSource]:
    rng = np.random.default_rng(8)
    references = np.repeat(rng.normal(size=(300, 8)), 2, axis=0)
    queries = table(spark, "q", rng.normal(size=(60, 8)))
    return queries, index_files.IndexSource("photo", table(spark, "r", references), 600, {"corpus": "photo"}, 5)


def test_driver_and_executors_answer_alike_from_files_that_are_built_once(
    sides: tuple[DataFrame, index_files.IndexSource], tmp_path: Path
) -> None:
    queries, source = sides
    truth = neighbour_search.search([faiss_index.build(source.vectors)], queries, 5, 64)
    wanted = truth.orderBy("image_id", "rank").toPandas()
    made, again = index_files.prepare_index(source, Choice("Flat", "small", 250), ArtifactFolder(str(tmp_path)), [])
    assert not again and [a.artifact_id for a in made] == [f"neighbours/photo/{n}" for n in range(3)]
    shards = index_files.shard_files(made, 1, ArtifactFolder(str(tmp_path), cache=str(tmp_path / "node")))
    assert sorted(shard.load().size for shard in shards) == [200, 200, 200]
    for found in (
        neighbour_search.search([shard.load() for shard in shards], queries, 5, 64),
        neighbour_search.search_on_executors(shards, queries.repartition(3), 5, 7),
    ):
        assert found.orderBy("image_id", "rank").toPandas().equals(wanted)
    assert index_files.prepare_index(source, Choice("Flat", "small", 250), ArtifactFolder(str(tmp_path)), made) == (
        made,
        True,
    )
    other = replace(source, facts={"corpus": "photo", "delta": 2})
    assert not index_files.prepare_index(other, Choice("Flat", "small", 250), ArtifactFolder(str(tmp_path)), made)[1]


def test_training_vectors_are_the_same_in_the_order_of_their_ids_however_the_table_is_cut(
    sides: tuple[DataFrame, index_files.IndexSource],
) -> None:
    _, source = sides
    one, other = (index_files._sample(replace(source, vectors=source.vectors.repartition(cut)), 200) for cut in (1, 3))
    assert 150 < len(one) < 300
    np.testing.assert_array_equal(one, other)
    every = source.vectors.orderBy("image_id").toPandas()
    rows = unit_rows(np.stack(every.embedding).astype(np.float32))
    np.testing.assert_allclose(index_files._sample(source, 6000), rows, atol=1e-6)


def test_recall_is_measured_and_nprobe_raised_until_it_holds(
    sides: tuple[DataFrame, index_files.IndexSource], tmp_path: Path
) -> None:
    queries, source = sides
    made, _ = index_files.prepare_index(
        source, Choice("IVF16,Flat", "asked for", 10_000), ArtifactFolder(str(tmp_path)), []
    )
    shards = index_files.shard_files(made, 1, ArtifactFolder(str(tmp_path)))
    curve = recall.tune_nprobe(shards, queries, source.vectors, 5, 1.0)
    assert list(curve) == [1, 2, 4, 8, 16][: len(curve)] and len(curve) > 2
    values = list(curve.values())
    assert values[-1].estimate == 1.0 and values[0].estimate < 0.9
    assert all(v.low <= v.estimate <= v.high and v.n == 60 for v in values)
    truth = neighbour_search.search([faiss_index.build(source.vectors)], queries, 5, 64)
    found = neighbour_search.search_on_executors([replace(shards[0], nprobe=list(curve)[-1])], queries, 5, 64)
    assert found.orderBy("image_id", "rank").toPandas().equals(truth.orderBy("image_id", "rank").toPandas())


def test_a_recall_that_cannot_be_reached_fails_with_the_curve(
    sides: tuple[DataFrame, index_files.IndexSource], tmp_path: Path
) -> None:
    queries, source = sides
    made, _ = index_files.prepare_index(
        source, Choice("IVF4,PQ2x4", "asked for", 10_000), ArtifactFolder(str(tmp_path)), []
    )
    with pytest.raises(ModelError, match=r"recall@5 must be at least 0\.99 .* Got nprobe 1: 0\.\d+, nprobe 2: "):
        recall.tune_nprobe(
            index_files.shard_files(made, 1, ArtifactFolder(str(tmp_path))), queries, source.vectors, 5, 0.99
        )


def test_a_string_that_faiss_does_not_know_is_refused(
    sides: tuple[DataFrame, index_files.IndexSource], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"neighbours\.index\.factory must be a string .* Got 'IVFx'"):
        index_files.prepare_index(sides[1], Choice("IVFx", "asked for", 10), ArtifactFolder(str(tmp_path)), [])


def test_many_shards_lie_in_folders_and_answer_as_one(
    sides: tuple[DataFrame, index_files.IndexSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_files, "FOLDER", 10)
    monkeypatch.setattr(neighbour_search, "MERGED", 3)
    queries, source = sides
    made, _ = index_files.prepare_index(source, Choice("Flat", "small", 14), ArtifactFolder(str(tmp_path)), [])
    assert len(made) == 43 and {Path(a.path).parent.name for a in made} == {f"{n:04d}" for n in range(5)}
    assert index_files.prepare_index(
        source, Choice("Flat", "small", 14), ArtifactFolder(str(tmp_path)), made[::-1]
    ) == (made, True)
    shards = [shard.load() for shard in index_files.shard_files(made, 1, ArtifactFolder(str(tmp_path)))]
    asked = arrow.collect(queries).to_batches()
    one = list(neighbour_search.answers(asked, [faiss_index.build(source.vectors)], 5, 64))
    assert list(neighbour_search.answers(asked, shards, 5, 64)) == one
