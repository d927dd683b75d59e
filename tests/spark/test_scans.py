"""How often the stages read the vectors: a table of them is most of a store, and each pass over it takes long."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.scans import rows_read
from tests.tables import table
from twigma_spark.config.settings import Config
from twigma_spark.estimators import near, perceptual, projection
from twigma_spark.estimators.duplicates import DuplicateRule, find_duplicates
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach
from twigma_spark.estimators.projection import Projection
from twigma_spark.io import arrow
from twigma_spark.io.staging import Staging
from twigma_spark.io.tables import Store
from twigma_spark.models.hashes import DIM, WINDOW_BYTES
from twigma_spark.schemas import TABLES
from twigma_spark.stages import cluster, inputs, neighbours, project, specs
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.samples import sample_vectors
from twigma_spark.vectors import unit_rows

CORPORA = {"posts": "posts", "made": "generated", "photo": "natural", "art": "art"}
COUNTS = {"posts": 60, "made": 30, "photo": 24, "art": 6}
ROWS = sum(COUNTS.values())
IDS = [f"{n:032x}" for n in range(ROWS)]
OF = [name for name, count in COUNTS.items() for _ in range(count)]
SHOWN = {
    "neighbours": ("reference", "image_id", "rank", "neighbour_id", "similarity"), "rejects": ("key", "reason"),
}  # fmt: skip
Tables = Mapping[str, DataFrame]


def vectors_of(bad: int | None = None) -> np.ndarray:
    rows = np.random.default_rng(4).standard_normal((ROWS, 8)).astype(np.float32)
    if bad is not None:
        rows[bad, 2] = np.nan
    return rows


def config(folder: Path, **more: Any) -> Config:
    corpora = [{"name": name, "role": role, "path": str(folder)} for name, role in CORPORA.items()]
    return Config.model_validate({"store": {"root": str(folder / "store")}, "corpora": corpora, **more})


def images_of(spark: SparkSession) -> DataFrame:
    return table(spark, "images", [{"image_id": one, "corpus": of} for one, of in zip(IDS, OF, strict=True)])


def tables_of(spark: SparkSession, folder: Path, rows: np.ndarray) -> Tables:
    """Return the tables that stages read; the vectors are in files, a corpus in each."""
    model, path = specs.image_encoder(Config()), str(folder / "embeddings")
    columns = [
        pa.array(IDS), *(pa.array([name] * ROWS) for name in (model.model_id, model.preprocess_rev)),
        pa.array(OF), pa.array([8] * ROWS, pa.int32()), arrow.lists(rows),
    ]  # fmt: skip
    schema = TABLES["embeddings"].schema
    batch = pa.record_batch(columns, TABLES["embeddings"].column_names)
    named = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema.fields)
    made = arrow.frame_of(spark, [batch], named)
    made.repartition(1).sortWithinPartitions("corpus").write.partitionBy("corpus").parquet(path)
    images = images_of(spark)
    others = {name: table(spark, name, []) for name in ("duplicates", "artifacts")}
    return {"embeddings": spark.read.parquet(path).select(*schema.names), "images": images, **others}


@pytest.fixture
def materialize(store: Store) -> Iterator[Callable[[DataFrame], DataFrame]]:
    """Compute a frame once, as the runner has it done."""
    staging = Staging(store, "scans", "r")
    yield staging.keep
    staging.drop()


def fit(landmarks: np.ndarray, how: object) -> Projection:
    """Return a model without UMAP, which compiles for ten seconds."""
    return Projection(landmarks, np.ascontiguousarray(landmarks[:, :2]), 3)


@pytest.mark.parametrize("bad", [None, 3, ROWS - 1], ids=["usable", "one is not", "another is not"])
def test_the_map_is_made_of_two_passes(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    materialize: Callable[[DataFrame], DataFrame],
    bad: int | None,
) -> None:
    """One for landmarks and sample, one for the places; of what cannot be used is known where it is drawn."""
    monkeypatch.setattr(projection, "fit", fit)
    cfg = config(tmp_path, project={"landmarks": 40, "sample": 20, "neighbours": 3})
    tables = tables_of(spark, tmp_path, vectors_of(bad))
    context = StageContext(spark, materialize, print)
    with rows_read(spark, "embedding") as scans:
        made = project.run(cfg, context, **tables)
        places = {row.image_id: (row.x, row.y) for row in made["projection"].collect()}
        rejects = [(row.key, row.reason) for row in made["rejects"].collect()]
    drawn = project._draw(cfg, tables["embeddings"])
    asked = bad is not None and IDS[bad] in drawn.column("image_id").to_pylist()
    assert scans == [ROWS] * (4 if asked else 2)
    assert rejects == ([] if bad is None else [(IDS[bad], "vector_not_finite")])
    usable, _ = inputs.usable_vectors(tables["embeddings"].select("image_id", "corpus", "embedding"), materialize)
    landmarks = arrow.collect(sample_vectors(usable, tables["images"], 10, cfg.seed)).sort_by("image_id")
    model = fit(unit_rows(arrow.matrix(landmarks.column("embedding").combine_chunks())), None)
    kept = [n for n in range(ROWS) if n != bad]
    wanted = projection.place(model, unit_rows(vectors_of(bad)[kept]))
    assert sorted(places) == [IDS[n] for n in kept]
    np.testing.assert_allclose([places[IDS[n]] for n in kept], wanted, atol=1e-5)


def test_the_posts_are_read_once_for_all_references(
    spark: SparkSession, tmp_path: Path, materialize: Callable[[DataFrame], DataFrame]
) -> None:
    """Or once for each, where the references together exceed the memory; with the same neighbours."""
    tables, found = tables_of(spark, tmp_path, vectors_of(3)), []
    for where, memory, passes in (("driver", 1.0, 1), ("driver", 5e-7, 3), ("executors", 1.0, 1)):
        search = {"index": {"memory_gb": memory}, "search": {"where": where}, "copies": {"bootstrap": 10}}
        said: list[str] = []
        with rows_read(spark, "embedding") as scans:
            parts = neighbours.run(
                config(tmp_path, neighbours=search), StageContext(spark, materialize, said.append), **tables
            )
            rows = {"neighbours": set(), "rejects": set()}  # type: dict[str, set[tuple[Any, ...]]]
            for part in parts:
                for name in rows.keys() & part.keys():
                    rows[name] |= set(map(tuple, part[name].select(*SHOWN[name]).collect()))
        assert scans.count(ROWS) == 1 and scans.count(COUNTS["posts"]) == passes
        assert [line.split("'")[1] for line in said if "searched by" in line] == ["made", "photo", "art"]
        found.append(rows)
    assert found[0] == found[1] == found[2] and len(found[0]["neighbours"]) == 59 * 15
    assert found[0]["rejects"] == {(IDS[3], "vector_not_finite")}


def test_the_clusterings_are_sampled_and_assigned_in_one_pass(
    spark: SparkSession, tmp_path: Path, materialize: Callable[[DataFrame], DataFrame]
) -> None:
    """Beside those there is a summary for each, of its own corpora."""
    clusterings = [
        {"id": "origins", "roles": list(CORPORA.values()), "k": 4},
        {"id": "themes", "roles": ["posts"], "k": 3},
    ]
    cfg = config(tmp_path, cluster={"clusterings": clusterings, "grid": [2, 3]})
    rows = vectors_of(3)
    tables = {**tables_of(spark, tmp_path, rows), "captions": table(spark, "captions", [])}
    del tables["artifacts"]
    with rows_read(spark, "embedding") as scans:
        made = cluster.run(cfg, StageContext(spark, materialize, print), **tables)
        assigned = {(row.clustering_id, row.image_id): row.cluster for row in made["clusters"].collect()}
        rejects = {(row.key, row.detail) for row in made["rejects"].collect()}
    assert sorted(scans) == [COUNTS["posts"], ROWS, ROWS, ROWS]
    assert rejects == {(IDS[3], f"not in clustering '{each['id']}'") for each in clusterings}
    assert len(assigned) == ROWS - 1 + COUNTS["posts"] - 1
    for each in clusterings:
        centroids = {
            row.cluster: row.centroid for row in made["centroids"].collect() if row.clustering_id == each["id"]
        }
        cosines = unit_rows(np.nan_to_num(rows)) @ unit_rows(np.array([centroids[n] for n in sorted(centroids)])).T
        own = {image: number for (name, image), number in assigned.items() if name == each["id"]}
        assert own == {image: int(cosines[IDS.index(image)].argmax()) for image in own}
        assert {row.metric for row in made["results"].collect() if row.labels["clustering"] == each["id"]} == {
            "silhouette", "adjusted_rand",
        }  # fmt: skip


def test_references_share_a_pass_as_long_as_they_fit() -> None:
    search = neighbours.ReferenceSearch(None, 1, "r", None)  # type: ignore[arg-type]
    sizes = [4, 3, 3, 20, 1, 9]
    indexed = [neighbours.IndexedReference(search, None, [], size) for size in sizes]  # type: ignore[arg-type]
    passes = [[each.elements for each in those] for those in neighbours.in_passes(indexed, 40.0, 4.0)]
    assert passes == [[4, 3, 3], [20], [1, 9]]
    assert list(neighbours.in_passes([], 1.0, 4.0)) == []


def hash_rows(rng: np.random.Generator) -> pa.RecordBatch:
    grey = unit_rows(rng.standard_normal((ROWS, DIM))).astype(np.float16)
    windows = rng.integers(0, 256, (ROWS, WINDOW_BYTES), np.uint8)
    grey[1], windows[1] = grey[0], windows[0]
    columns = [pa.array(IDS), *(pa.array([row.tobytes() for row in rows]) for rows in (grey, windows))]
    return pa.record_batch(columns, ["image_id", "vector", "windows"])


def test_duplicates_are_found_in_six_passes(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    materialize: Callable[[DataFrame], DataFrame],
) -> None:
    """Cells, what shares one, a sample, buckets, the exact search of a few, and the cosines of the pairs."""
    monkeypatch.setattr(near, "FEW", 50)
    rows = vectors_of()
    rows[5] = rows[4]
    vectors = tables_of(spark, tmp_path, rows)["embeddings"].select("image_id", "corpus", "embedding")
    images = images_of(spark)
    hashes = arrow.frame_of(
        spark, [hash_rows(np.random.default_rng(1))], "image_id STRING, vector BINARY, windows BINARY"
    )
    rule = DuplicateRule(1e-4, Likeness(embeddings=Reach(0.9), calibrate=True, bits=8))
    with rows_read(spark, "embedding") as scans:
        found = find_duplicates(images, vectors, hashes, rule, materialize)
        pairs = {(row.image_id, row.canonical_id, row.tier): row.similarity for row in found.duplicates.collect()}
    assert scans.count(ROWS) == 6
    unit = unit_rows(rows)
    assert pairs == {
        (IDS[1], IDS[0], "near"): pytest.approx(float(unit[0] @ unit[1]), abs=1e-6),
        (IDS[5], IDS[4], "embedding"): pytest.approx(1.0),
    }


@pytest.mark.parametrize("few", [100, 0], ids=["few pairs", "many pairs"])
def test_the_windows_are_shuffled_once_at_most(
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    materialize: Callable[[DataFrame], DataFrame],
    capsys: pytest.CaptureFixture[str],
    few: int,
) -> None:
    monkeypatch.setattr(perceptual, "FEW", few)
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    try:
        batch = hash_rows(np.random.default_rng(1))
        hashes = materialize(arrow.frame_of(spark, [batch], "image_id STRING, vector BINARY, windows BINARY"))
        pairs = arrow.local_frame(
            spark, [(IDS[0], IDS[n], 0, False) for n in (1, 2)], "a STRING, b STRING, turn INT, across BOOLEAN"
        )
        compared = perceptual.compare_windows(pairs, hashes, materialize)
        bits = {(row.a, row.b): row.bits for row in compared.collect()}
        compared.explain()
    finally:
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    assert bits[IDS[0], IDS[1]] == 0 and bits[IDS[0], IDS[2]] > 60
    plan = capsys.readouterr().out.split("Initial Plan")[0]
    shuffled = re.findall(r"Exchange hashpartitioning\([ab]#\d+", plan)
    assert bool(shuffled) == (few == 0) and ("ReusedExchange" in plan) == (few == 0)
