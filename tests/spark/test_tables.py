"""The store: declared tables are created, written in their mode, and refuse what does not fit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.stores import copy_store
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError, SchemaError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.delta_log import commits
from twigma_spark.io.staging import Staging
from twigma_spark.io.tables import Store, fit
from twigma_spark.purging import remove_versions
from twigma_spark.results import Result, Value
from twigma_spark.schemas import IMAGES, TABLES, Column, Table
from twigma_spark.stages.records import read_results, result_rows
from twigma_spark.transforms.columns import is_one_of


def vectors(spark: SparkSession, *ids: str, dim: int = 2) -> DataFrame:
    rows = [(i, "m", "r", "posts", dim, [1.0, 2.0]) for i in ids]
    return local_frame(spark, rows, TABLES["embeddings"].schema)


def rejects(spark: SparkSession, stage: str, *keys: str) -> DataFrame:
    return local_frame(
        spark, [(stage, "image", "posts", k, "undecodable", "x") for k in keys], TABLES["rejects"].schema
    )


@pytest.fixture(scope="module")
def refused(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a reject of ingest and one of embed, which tests do not change."""
    store = Store(spark, str(tmp_path_factory.mktemp("refused")))
    store.write("rejects", rejects(spark, "ingest", "x"), stage="ingest")
    store.write("rejects", rejects(spark, "embed", "y"), stage="embed")
    return store


@pytest.fixture
def with_rejects(refused: Store, tmp_path: Path) -> Store:
    """A store with a reject of ingest and one of embed."""
    return copy_store(refused, tmp_path / "with_rejects")


def test_a_missing_table_reads_as_empty(store: Store) -> None:
    assert store.read("images").count() == 0
    assert store.read("images").columns == TABLES["images"].column_names
    assert (store.version("images"), store.count("images")) == (-1, 0)


@pytest.mark.spark4
def test_a_created_table_has_comments_keys_and_checks(store: Store, spark: SparkSession) -> None:
    store.create(TABLES["embeddings"])
    described = {r.col_name: r.comment for r in spark.sql(f"DESCRIBE {store.location('embeddings')}").collect()}
    assert described["dim"] == "length of the embedding"
    properties = spark.sql(f"SHOW TBLPROPERTIES {store.location('embeddings')}").collect()
    assert "delta.constraints.embedding_length" in [p.key for p in properties]
    fields = {f.name: f.nullable for f in spark.read.table(store.location("embeddings")).schema}
    assert (fields["image_id"], fields["corpus"]) == (False, True)


@pytest.mark.spark4
def test_merge_inserts_only_what_is_missing(store: Store, spark: SparkSession) -> None:
    assert store.write("embeddings", vectors(spark, "a", "b"), stage="embed") == 2
    changed = vectors(spark, "b", "c", "c").withColumn("corpus", F.lit("art"))
    assert store.write("embeddings", changed, stage="embed") == 1
    rows = {r.image_id: r.corpus for r in store.read("embeddings").collect()}
    assert rows == {"a": "posts", "b": "posts", "c": "art"}


@pytest.mark.spark4
def test_a_writer_that_comes_between_is_a_conflict_and_no_key_comes_twice(
    store: Store, spark: SparkSession, tmp_path: Path
) -> None:
    """One writer's rows are computed while another commits some of the same keys."""
    begun, committed = tmp_path / "begun", tmp_path / "committed"

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begun.touch()
        while not committed.exists():
            time.sleep(0.05)
        yield from batches

    slow = vectors(spark, "a", "b").coalesce(1)  # one task waits, and there is room for the others
    for there in (0, 1):
        store.write("embeddings", vectors(spark, "c").limit(there), stage="embed")
        with ThreadPoolExecutor(1) as pool:
            one = pool.submit(store.write, "embeddings", slow.mapInArrow(wait, slow.schema), stage="embed")
            while not begun.exists() and not one.done():
                time.sleep(0.05)
            other = store.write("embeddings", vectors(spark, "b", f"d{there}"), stage="embed")
            committed.touch()
            assert (other, one.result()) == ((2, 1), (1, 0))[there]
        begun.unlink()
        committed.unlink()
    keys = sorted(row.image_id for row in store.read("embeddings").collect())
    assert keys == ["a", "b", "c", "d0", "d1"]


def test_a_merge_of_a_stored_frame_reads_only_files_of_its_range_of_keys(store: Store, spark: SparkSession) -> None:
    store.write("embeddings", vectors(spark, "a1", "a2"), stage="embed")
    (first,) = Path(store.root, "embeddings").glob("*.parquet")
    assert store.write("embeddings", vectors(spark, "f1"), stage="embed", stored=True) == 1
    first.rename(first.with_suffix(".away"))  # a MERGE that reads this file fails
    assert store.write("embeddings", vectors(spark, "f1", "f2"), stage="embed", stored=True) == 1
    with pytest.raises(Exception, match=first.name):
        store.write("embeddings", vectors(spark, "f3"), stage="embed")
    first.with_suffix(".away").rename(first)
    assert store.write("embeddings", vectors(spark, "a2", "f1", "f'3"), stage="embed", stored=True) == 1
    assert sorted(r.image_id for r in store.read("embeddings").collect()) == ["a1", "a2", "f'3", "f1", "f2"]


@pytest.mark.spark4
def test_by_stage_replaces_the_rows_of_one_stage(with_rejects: Store, spark: SparkSession) -> None:
    store = with_rejects
    store.write("rejects", rejects(spark, "embed", "z"), stage="embed")
    store.write("rejects", rejects(spark, "embed", "w"), stage="embed", again=True)
    assert sorted(r.key for r in store.read("rejects").collect()) == ["w", "x", "z"]
    assert store.write("rejects", rejects(spark, "embed").limit(0), stage="embed") == 0
    assert [r.key for r in store.read("rejects").collect()] == ["x"]


def test_the_first_rows_of_a_stage_are_added_and_replace_none(with_rejects: Store, spark: SparkSession) -> None:
    store = with_rejects
    for key, mode in (("y", "Append"), ("z", "Overwrite")):
        assert store.write("rejects", rejects(spark, "score", key), stage="score") == 1
        last = max(Path(store.path("rejects"), "_delta_log").glob("*.json")).read_text(encoding="utf-8")
        assert f'"mode":"{mode}"' in last
    rows = {(r.stage, r.key) for r in store.read("rejects").collect()}
    assert len(rows) == 3 and ("score", "z") in rows


def test_clearing_creates_what_is_missing(store: Store) -> None:
    store.clear("rejects", stage="embed")
    assert store.exists("rejects") and store.count("rejects") == 0


def test_clearing_removes_what_a_write_would_replace(with_rejects: Store, spark: SparkSession) -> None:
    store = with_rejects
    store.clear("rejects", stage="embed")
    assert [r.key for r in store.read("rejects").collect()] == ["x"]
    before = store.version("rejects")
    store.clear("rejects", stage="embed")
    assert store.version("rejects") == before  # nothing to remove is not a commit
    store.write("embeddings", vectors(spark, "a1"), stage="embed")
    store.clear("embeddings", stage="embed")
    assert store.count("embeddings") == 1  # a merged table keeps what earlier runs made


def test_replace_replaces_all_rows(store: Store, spark: SparkSession) -> None:
    def centre(cluster: int) -> DataFrame:
        return local_frame(spark, [("t", cluster, 3, 0.1, [1.0])], TABLES["centroids"].schema)

    store.write("centroids", centre(0), stage="cluster")
    store.write("centroids", centre(1), stage="cluster")
    store.write("centroids", centre(2), stage="cluster", again=True)
    assert sorted(r.cluster for r in store.read("centroids").collect()) == [1, 2]


def test_a_state_is_counted_once_and_not_at_all_where_all_its_rows_were_written_here(
    store: Store, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    count = Store.count
    monkeypatch.setattr(Store, "count", lambda self, name: counted.append(name) or count(self, name))

    def check(of: Store, name: str, rows: int) -> None:
        assert [of.count_once(name, of.state(name)) for _ in range(2)] == [rows] * 2
        assert of.read(name).count() == rows

    def reject(stage: str, *keys: str) -> None:
        frame = local_frame(
            spark, [(stage, "image", "c", key, "why", "seen") for key in keys], TABLES["rejects"].schema
        )
        store.write("rejects", frame, stage=stage)

    store.write("embeddings", vectors(spark, "a"), stage="embed")
    check(store, "embeddings", 1)
    store.write("embeddings", vectors(spark, "a", "b", "c"), stage="embed")  # merged: a is there
    check(store, "embeddings", 3)
    store.clear("copies", stage="neighbours")
    check(store, "copies", 0)
    reject("embed", "a", "b")
    reject("ingest", "d")
    check(store, "rejects", 3)
    assert not counted
    reject("embed", "a")  # replaces the two of the stage
    check(store, "rejects", 2)
    assert counted == ["rejects"]
    check(Store(spark, store.root), "embeddings", 3)
    assert counted == ["rejects", "embeddings"]


def test_a_frame_that_does_not_fit_is_refused_before_anything_is_written(store: Store, spark: SparkSession) -> None:
    frame = vectors(spark, "a").withColumn("dim", F.lit("two")).drop("corpus").withColumn("more", F.lit(1))
    with pytest.raises(SchemaError) as caught:
        store.write("embeddings", frame, stage="embed")
    for part in ("embeddings", "'dim' must be int. Got string", "'corpus' must be string", "'more'"):
        assert part in str(caught.value)
    assert not store.exists("embeddings")


@pytest.mark.spark4
def test_a_row_that_breaks_a_check_is_refused(store: Store, spark: SparkSession) -> None:
    with pytest.raises(Exception, match="embedding_length"):
        store.write("embeddings", vectors(spark, "a", dim=3), stage="embed")
    assert store.count("embeddings") == 0


@pytest.mark.spark4
def test_a_null_key_is_refused(store: Store, spark: SparkSession) -> None:
    frame = vectors(spark, "a").withColumn("image_id", F.lit(None).cast("string"))
    with pytest.raises(Exception, match=r"(?i)not null"):
        store.write("embeddings", frame, stage="embed")


def test_columns_in_another_order_fit(spark: SparkSession) -> None:
    table = TABLES["embeddings"]
    assert fit(vectors(spark, "a").select(*reversed(table.column_names)), table).columns == table.column_names


@pytest.mark.spark4
def test_a_table_grows_by_columns_declared_later(store: Store, spark: SparkSession) -> None:
    new = TABLES["captions"]
    store.create(Table(new.name, "", new.columns[:-1], new.key))
    assert "caption" not in spark.read.table(store.location("captions")).columns
    frame = local_frame(spark, [("a", "m", "words")], new.schema)
    assert store.write("captions", frame, stage="caption") == 1
    assert store.read("captions").first() == ("a", "m", "words")


def test_results_of_an_older_version_are_refused_until_their_stage_has_run_again(
    store: Store, spark: SparkSession
) -> None:
    """The column `group`, a part of the key, gave way to `labels` and `labels_key`."""
    new = TABLES["results"]
    group = Column("group", "STRING", "")
    older = Table(new.name, "", (*(c for c in new.columns if "labels" not in c.name), group), (*new.key[:-1], "group"))
    store.create(older)
    row = ("variation", "variation", "iev", 0.5, None, None, 9, "images", "a method", "posts")
    local_frame(spark, [row], older.schema).writeTo(store.location("results")).append()
    with pytest.raises(SchemaError, match=r"labels\. Got rows of an older version.*variation.*--force"):
        read_results(store.read("results"))
    made = Result.of(
        "variation", "iev", Value(0.4, None, None, 9, "images", "a method"), corpus="posts", within="posts"
    )
    for _ in range(2):
        assert store.write("results", result_rows(spark, "variation", [made]), stage="variation") == 1
    assert read_results(store.read("results")) == [made]


@pytest.mark.spark4
def test_checks_of_an_older_version_give_way_to_those_declared(store: Store, spark: SparkSession) -> None:
    new = TABLES["embeddings"]
    older = {"embedding_length": "size(embedding) = dim", "model_known": "model_id IN ('old')"}
    store.create(Table(new.name, "", new.columns, new.key, new.mode, older))
    assert store.write("embeddings", vectors(spark, "a"), stage="embed") == 1
    with pytest.raises(Exception, match="embedding_length"):
        store.write("embeddings", vectors(spark, "b", dim=3), stage="embed")
    assert store.count("embeddings") == 1


@pytest.mark.spark4
def test_the_same_store_in_a_catalog_schema(spark: SparkSession) -> None:
    store = Store(spark, "spark_catalog.twigma_test")
    try:
        assert store.read("embeddings").count() == 0
        assert store.write("embeddings", vectors(spark, "a"), stage="embed") == 1
        assert store.write("embeddings", vectors(spark, "a", "b"), stage="embed") == 1
        staging = Staging(store, "embed", "x")
        assert staging.keep(vectors(spark, "x")).count() == 1
        staging.drop()
        assert [listed.name for listed in store.listing()] == ["embeddings"]
        assert not store.exists("_staging_embed_x_0")
    finally:
        spark.sql("DROP SCHEMA IF EXISTS spark_catalog.twigma_test CASCADE")


def is_there(store: Store, name: str) -> bool:
    return Path(store.path(name)).exists()


@pytest.mark.spark4
def test_staged_frames_are_computed_once_and_dropped(store: Store, spark: SparkSession) -> None:
    staging = Staging(store, "embed", "x")
    staged = staging.keep(spark.range(3).withColumn("r", F.rand()))
    assert staged.collect() == staged.collect()
    assert staging.names == ["_staging_embed_x_0"] and is_there(store, *staging.names)
    staging.drop()
    assert not staging.names and not is_there(store, "_staging_embed_x_0")


def test_only_what_was_left_long_ago_is_forgotten(
    store: Store, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a folder the lock of a run that is at work is kept as long as it is referred to.
    living = [Staging(store, "embed", "x"), Staging(store, "caption", "x")]
    for staging in living:
        staging.keep(spark.range(1))
    Staging(store, "embed", "y").drop_abandoned()
    assert is_there(store, "_staging_embed_x_0")
    for lock in Path(store.root).glob("_staging_*.lock"):
        lock.unlink()
    monkeypatch.setattr("twigma_spark.io.staging.ABANDONED_AFTER", timedelta(0))
    Staging(store, "embed", "y").drop_abandoned()
    assert not is_there(store, "_staging_embed_x_0") and is_there(store, "_staging_caption_x_0")


KILLED = """
import os, signal, sys
from twigma_spark.io.staging import _take
from pathlib import Path
from typing import Any
_take(Path(sys.argv[1]) / "_staging_embed_dead.lock")
(Path(sys.argv[1]) / "_staging_embed_dead_0").mkdir()
print("locked", flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


def test_tables_of_a_killed_run_go_at_once_and_those_of_a_living_one_stay(store: Store) -> None:
    left = Path(store.root) / "_staging_embed_dead_0"
    Path(store.root).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", KILLED, store.root]
    with subprocess.Popen([*command, "alive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"locked\n"
        Staging(store, "embed", "y").drop_abandoned()
        assert left.exists()
    left.rmdir()
    subprocess.run([*command, "killed"], capture_output=True, check=False)
    Staging(store, "embed", "y").drop_abandoned()
    assert not left.exists() and not list(Path(store.root).glob("*.lock"))


@pytest.mark.parametrize("root", ["", "a`b"])
def test_a_root_that_cannot_be_named_in_sql_is_refused(spark: SparkSession, root: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.root"):
        Store(spark, root)


@pytest.mark.spark4
def test_the_logs_files_say_what_deltas_history_says(refused: Store) -> None:
    store = refused
    history = store.spark.sql(f"DESCRIBE HISTORY {store.location('rejects')} LIMIT 1").collect()[0]
    (commit,) = commits(Path(store.path("rejects")), 1)
    assert commit.version == history["version"] == store.version("rejects")
    assert (commit.rows, commit.token) == (int(history["operationMetrics"]["numOutputRows"]), history["userMetadata"])
    assert abs((commit.committed - history["timestamp"]).total_seconds()) < 5


def test_replacing_one_stages_rows_leaves_the_files_of_the_others(with_rejects: Store) -> None:
    store, spark = with_rejects, with_rejects.spark
    before = set(store.read("rejects").where("stage = 'ingest'").inputFiles())
    assert store.write("rejects", rejects(spark, "embed", "z"), stage="embed") == 1
    assert set(store.read("rejects").where("stage = 'ingest'").inputFiles()) == before


@pytest.mark.spark4
def test_small_files_are_put_together_and_old_ones_removed(store: Store, spark: SparkSession) -> None:
    for name in ("a", "b", "c"):
        store.write("embeddings", vectors(spark, name), stage="embed")
    files = lambda: list(Path(store.path("embeddings")).glob("*.parquet"))  # noqa: E731
    many = len(files())
    removed, added = store.optimize("embeddings")
    assert removed >= 3 and added == 1 and len(files()) == many + 1
    version = store.version("embeddings")
    store.vacuum(["embeddings"], 168)
    assert len(files()) == many + 1
    store.vacuum(["embeddings"], 0)
    assert len(files()) == 1 and store.count("embeddings") == 3
    assert store.version("embeddings") == version  # files alone went
    assert store.optimize("embeddings") == (0, 0)


@pytest.mark.spark4
def test_a_platform_that_allows_no_shorter_retention_removes_what_it_can(
    store: Store, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serverless compute of Databricks refuses the setting; a table's own retention may be changed there."""

    real = type(spark.conf).set

    def refuse(self: Any, key: str, value: Any) -> None:
        # How many tasks list a folder may be set: by its default of 10,000 the test would take a minute.
        if key.startswith("spark.databricks"):
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")
        real(self, key, value)

    for name in ("a", "b"):
        store.write("embeddings", vectors(spark, name), stage="embed")
    store.optimize("embeddings")
    files = lambda: list(Path(store.path("embeddings")).glob("*.parquet"))  # noqa: E731
    many, cfg = len(files()), Config.model_validate({"purge": {"vacuum_hours": 0}})
    monkeypatch.setattr(type(spark.conf), "set", refuse)
    (said,) = remove_versions(cfg, store, ["embeddings"])
    assert said.startswith("older versions of embeddings are kept for as long as these tables say")
    assert len(files()) == many
    way_out = said.partition("ALTER TABLE ... ")[2].partition("), then")[0] + ")"
    spark.sql(f"ALTER TABLE {store.location('embeddings')} {way_out}")
    assert list(remove_versions(cfg, store, ["embeddings"])) == [] and len(files()) == 1


def test_of_images_only_the_pages_are_read_that_can_hold_a_chosen_one(spark: SparkSession, tmp_path: Path) -> None:
    """The file is damaged where other images lie."""
    ids = [f"{n:032x}" for n in range(200)]
    bytes_of = {image_id: random.Random(image_id).randbytes(4_000) for image_id in ids}
    rows = [tuple({"image_id": i, "corpus": "posts", "content": c}.get(n) for n in IMAGES.column_names)
            for i, c in bytes_of.items()]  # fmt: skip
    store = Store(spark, str(tmp_path))
    store.write("images", local_frame(spark, rows, IMAGES.schema).coalesce(1), stage="ingest")
    (file,) = tmp_path.glob("images/corpus=posts/*.parquet")
    content = file.read_bytes()
    file.write_bytes(content.replace(bytes_of[ids[100]], bytes(4_000)))
    images = store.read("images")
    chosen = images.where(is_one_of("image_id", [ids[3], ids[199]]))
    assert {row["image_id"]: bytes(row["content"]) for row in chosen.collect()} == {
        i: bytes_of[i] for i in (ids[3], ids[199])
    }
    with pytest.raises(Exception, match="Checksum"):
        images.where(is_one_of("image_id", [ids[101]])).collect()


@pytest.mark.parametrize("n", [0, 1, 128, 300])
def test_a_long_list_is_compared_value_by_value(spark: SparkSession, n: int) -> None:
    numbers = spark.range(1_000).select(F.col("id").cast("string").alias("name"))
    chosen = [str(3 * number) for number in range(n)]
    assert sorted(row["name"] for row in numbers.where(is_one_of("name", chosen)).collect()) == sorted(chosen)
