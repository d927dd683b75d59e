"""Purging one post of two from a store in which every table knows both: nothing of it is left, and it stays away."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession
from typer.testing import CliRunner

from tests import moto_server
from tests import tables as declared
from tests.hosts import png
from twigma_spark.cli.main import app
from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, folder
from twigma_spark.io.export import write_text
from twigma_spark.io.tables import Store
from twigma_spark.io.url_files import settings_of
from twigma_spark.purging import Purged, Request, _clean_sources, _select, purge, read_ids, rewrite_files
from twigma_spark.schemas import TABLES, Table
from twigma_spark.stages import fetch, ingest
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.texts import texts

# Tables whose rows are of no single post or image, and why nothing of one is in them.
NOT_OF_ONE = {
    "centroids": "means over a cluster", "themes": "words of a cluster's captions", "results": "statistics",
    "runs": "counts and versions", "artifacts": "paths of files, which are removed with their rows",
    "reports": "made again as a whole", "tombstones": "digests",
}  # fmt: skip
# Values that checks and types ask for.
GIVEN: dict[str, Any] = {
    "tier": "near", "outcome": "ok", "source": "post", "dim": 1, "images": 2, "width": 9, "height": 9,
    "embedding": [1.0], "corpus": "posts", "stage": "project", "unit": "posts", "kind": "post",
    "model_id": "m", "preprocess_rev": "r", "platform": "bluesky",
}  # fmt: skip
PURGED, KEPT = "a", "b"


def ids(world: str) -> dict[str, str]:
    other = KEPT if world == PURGED else PURGED
    post, picture = f"post-{world * 4}", f"picture-{world * 4}"
    both = {"image_id": world * 32, "canonical_id": other * 32, "other_id": other * 32, "neighbour_id": other * 32,
            "preferred_image_id": world * 32, "other_image_id": other * 32}  # fmt: skip
    return {**both, "post_id": post, "group_id": post, "media_key": picture, "author_id": f"author-{world * 4}"}


def row(table: Table, world: str) -> dict[str, Any]:
    """Return a row of one of the two posts, with every column store."""
    filled: dict[str, Any] = {
        "STRING": f"x-{world * 4}", "BIGINT": 1, "INT": 1, "DOUBLE": 0.5, "BOOLEAN": False,
        "BINARY": (world * 8).encode(),
        "TIMESTAMP": datetime(2022, 1, 1), "ARRAY<STRING>": [world * 4], "ARRAY<FLOAT>": [1.0],
        "MAP<STRING, STRING>": {"name": f"x-{world * 4}"}, "ARRAY<MAP<STRING, STRING>>": [{"alt_text": world * 4}],
    }  # fmt: skip
    found = {c.name: GIVEN.get(c.name, ids(world).get(c.name, filled[c.type])) for c in table.columns}
    if table.name == "downloads":
        found["source_key"] = ids(world)["media_key"]
    if table.name == "rejects":
        found["key"] = f"{ids(world)['post_id']}/{ids(world)['media_key']}"
    if table.name == "shared_images":
        found |= {"corpus": "art", "other_corpus": "posts"}
    return found


def fill(store: Store, names: Collection[str]) -> None:
    """Write a row of either post into tables."""
    frames = {n: declared.table(store.spark, n, [row(TABLES[n], w) for w in (PURGED, KEPT)]) for n in names}
    if "text_embeddings" in names:
        known = texts(frames["images"], frames["posts"], frames["captions"])
        vectors = frames["text_embeddings"].limit(1).drop("text_id", "source", "corpus", "text", "n_words")
        frames["text_embeddings"] = known.crossJoin(vectors).select(*TABLES["text_embeddings"].column_names)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: store.write(name, frames[name], stage="project"), names))


@pytest.fixture
def without_vacuum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves older versions, of which a test shows nothing and whose removal takes most of a purge."""
    monkeypatch.setattr(Store, "vacuum", lambda self, names, hours: [])


def run(
    store: Store,
    request: Request,
    cfg: Config | None = None,
    files: bool = False,
    dry_run: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> Purged:
    settings = (cfg or Config()).model_dump(exclude_unset=True)
    settings["purge"] = {**settings.get("purge", {}), "vacuum_hours": 0}
    return purge(Config.model_validate(settings), store, request, log, files, dry_run)


def test_every_table_says_whose_its_rows_are() -> None:
    assert {t.name for t in TABLES.values() if not t.ids} == set(NOT_OF_ONE)
    for table in TABLES.values():
        named = {c.name for c in table.columns if c.name.endswith("image_id")} | (
            {"canonical_id", "other_id", "neighbour_id"} & set(table.column_names)
        )
        assert named <= set(table.ids), table.name
        assert table.name == "rejects" or set(table.ids) <= set(table.column_names), table.name


def one_of_each_kind() -> set[str]:
    """Return a table for each kind of ids that rows have, among them those that tell which rows belong to a post."""
    needed = ("posts", "media", "images", "captions")
    names = (*(name for name in TABLES if name not in needed), *needed)
    return {*{tuple(TABLES[name].ids.values()): name for name in names if TABLES[name].ids}.values(), *needed}


@pytest.mark.slow
def test_nothing_of_a_purged_post_is_left_in_any_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names, asked, delete = one_of_each_kind(), set(), Store.delete

    def recorded(self: Store, name: str, ids: Mapping[str, Sequence[str]]) -> int:
        asked.update((name, expression) for expression in ids)
        return delete(self, name, ids)

    monkeypatch.setattr(Store, "delete", recorded)
    fill(store, names)
    done = run(store, Request(posts=("post-aaaa", "unknown")))
    assert done.found == {"post": 2, "image": 1, "picture": 1, "text": 4}
    assert asked == {(name, column) for name, table in TABLES.items() for column in table.ids}
    assert set(done.rows) >= names
    # A row of both posts, such as a pair, goes with either.
    of_both = {name for name in names if len(TABLES[name].ids) > 1 and name != "rejects"}
    for name in names:
        rows = store.read(name).collect()
        assert bool(rows) is (name not in of_both), name
        assert not any("aaaa" in str(r) for r in rows), name
    files = parquet_files(store)
    assert len(files) > len(names - of_both) and not [p for p in files if "aaaa" in parquet_text(p)]
    tombstones = store.read("tombstones")
    assert tombstones.groupBy("kind").count().collect() and "aaaa" not in str(tombstones.collect())


def parquet_text(path: Path) -> str:
    """Return the rows of a file as text; `read_table` would add the columns that its folders name."""
    return str(pq.ParquetFile(path).read().to_pylist())


def parquet_files(store: Store) -> list[Path]:
    """Return the files of all tables, of all their versions."""
    return [path for path in Path(store.root).rglob("*.parquet") if "_delta_log" not in path.parts]


def files_with(store: Store, name: str, text: str) -> list[Path]:
    """Return the files of a table, of all its versions, that hold a text."""
    return [p for p in Path(store.path(name)).rglob("*.parquet") if text in parquet_text(p)]


def test_a_purged_text_is_in_no_file_of_a_table_with_deletion_vectors(store: Store) -> None:
    rows = [{**row(TABLES["captions"], world), "caption": f"text {world * 4}"} for world in (PURGED, KEPT)]
    store.create(TABLES["captions"])
    store.spark.sql(
        f"ALTER TABLE {store.location('captions')} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    )
    store.write("captions", declared.table(store.spark, "captions", rows), stage="caption")
    store.optimize("captions")  # both rows in one file: of one whose rows all go, nothing is marked
    done = run(store, Request(images=(PURGED * 32,)), Config.model_validate({"purge": {"reorg": False}}))
    assert done.rows == {"captions": 1} and store.count("captions") == 1
    assert len(files_with(store, "captions", "text aaaa")) == 1 and files_with(store, "captions", "text bbbb")
    # What was left is taken out by what a purge does by default, and so does maintenance: once.
    assert list(rewrite_files(Config(), store, ["captions"])) == []
    version = store.version("captions")
    assert list(rewrite_files(Config(), store, ["captions"])) == [] and store.version("captions") == version
    store.vacuum(["captions"], 0)
    assert files_with(store, "captions", "text aaaa") == []


def test_the_next_purge_does_what_one_that_was_cut_off_has_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its deletions; also where it is given other ids, or ids of which nothing is left."""
    rows = [{**row(TABLES["captions"], world), "caption": f"text {world * 4}"} for world in (PURGED, KEPT)]
    fill(store, ["images"])
    store.write("captions", declared.table(store.spark, "captions", rows), stage="caption")
    place = tmp_path / "art"
    cfg = Config.model_validate({"store": {"artifacts": str(place)}, "report": {"path": str(place / "r.html")}})
    file = declared.table(
        store.spark, "artifacts", [{"artifact_id": "project", "stage": "project", "path": f"{place}/umap.npz"}]
    )
    store.write("artifacts", file, stage="project")
    for name in ("umap.npz", "r.html"):
        write_text(str(place / name), "aaaa")
    ask, said = Request(images=(PURGED * 32,)), list[str]()
    for step in ("_drop_fitted", "remove_versions"):
        with monkeypatch.context() as patch:
            patch.setattr(f"twigma_spark.purging.{step}", lambda *args, **named: pytest.fail("cut off"))
            with pytest.raises(BaseException, match="cut off"):
                run(store, ask, cfg)
        assert store.count("captions") == 1 and files_with(store, "captions", "text aaaa")
    done = run(store, Request(images=("none",)), cfg, log=said.append)
    assert said[1] == "purge: an earlier one was cut off; what it has left is done now"
    assert not {"images", "captions"} & set(done.rows)
    assert not files_with(store, "captions", "text aaaa") and files_with(store, "captions", "text bbbb")
    assert store.count("artifacts") == 0 and list(place.iterdir()) == []
    # It is done: the next one has nothing to end, and writes nothing.
    version = store.version("tombstones")
    assert run(store, ask, cfg, log=said.append).rows == {} and len(said) == 3
    assert store.version("tombstones") == version


def test_a_store_that_is_not_there_is_not_made(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n")
    place = tmp_path / "nothing"
    with pytest.raises(ConfigError, match=r"store\.root must be a store that a run has filled\. Got '.*nothing'"):
        run(Store(spark, str(place)), Request(posts=("1",)))
    asked = ["purge", "--posts", str(tmp_path / "ids"), "--set", f"store.root={place}"]
    found = CliRunner().invoke(app, asked)
    assert isinstance(found.exception, ConfigError) and "must be a store that a run has filled" in str(found.exception)
    assert not place.exists()


def test_a_spark_without_reorg_says_which_files_still_hold_deleted_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "reorganize", lambda self, name: name != "images")
    said = list(rewrite_files(Config(), store, ["captions", "images"]))
    assert said == ["files of images hold deleted rows (deletion vectors): this Spark has no REORG TABLE"]


@pytest.mark.usefixtures("without_vacuum")
def test_rejects_of_a_post_go_whatever_its_id_looks_like(store: Store) -> None:
    post, other = "at://did:plc:1/app.bsky.feed.post/1", "at://did:plc:1/app.bsky.feed.post/2"
    keys = [
        (unit, f"{name}/bafk1" if unit == "image" else name) for name in (post, other) for unit in ("post", "image")
    ]
    rows = [{"stage": "ingest", "corpus": "posts", "unit": unit, "key": key} for unit, key in keys]
    store.write("rejects", declared.table(store.spark, "rejects", rows), stage="ingest")
    assert run(store, Request(posts=(post,))).rows == {"rejects": 2}
    assert {r.key for r in store.read("rejects").collect()} == {other, f"{other}/bafk1"}


@pytest.mark.parametrize("few", [0, 10])
def test_ids_are_listed_or_joined(store: Store, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("twigma_spark.io.tables.FEW_IDS", few)
    unusual = "o'\\ne"
    rows = [{"image_id": name, "canonical_id": other, "tier": "near"} for name, other in
            ((unusual, "x"), ("two", unusual), ("two", "x"), ("three", "two"))]  # fmt: skip
    store.write("duplicates", declared.table(store.spark, "duplicates", rows), stage="deduplicate")
    assert store.delete("copies", {"image_id": [unusual]}) == store.delete("duplicates", {"image_id": []}) == 0
    assert store.delete("duplicates", {"image_id": [unusual, "none"], "canonical_id": [unusual]}) == 2
    assert sorted(r.image_id for r in store.read("duplicates").collect()) == ["three", "two"]


@pytest.mark.parametrize("few", [0, 10])
def test_ids_select_rows_and_their_others(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("twigma_spark.purging.FEW_IDS", few)
    rows = local_frame(spark, [("a", 1), (None, 2), ("b", 3)], "post_id STRING, n INT")
    for others, n in ((False, [1]), (True, [2, 3])):
        assert sorted(r.n for r in _select(rows, "post_id", ["a", "c"], others).select("n").collect()) == n


def found(spark: SparkSession, request: Request, **rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return what a purge would find in tables of literal rows."""
    names = ("posts", "media", "images", "captions")
    tables = {name: declared.table(spark, name, rows.get(name, both(name))) for name in names}
    store = SimpleNamespace(spark=spark, read=tables.__getitem__, exists=lambda name: True)
    return dict(run(store, request, dry_run=True).found)  # type: ignore[arg-type]


def both(name: str) -> list[dict[str, Any]]:
    """Return the rows of either post in a table."""
    return [row(TABLES[name], world) for world in (PURGED, KEPT)]


def test_an_author_goes_with_the_posts_and_an_image_alone(spark: SparkSession) -> None:
    assert found(spark, Request(authors=("author-aaaa",))) == {"post": 1, "image": 1, "picture": 1, "text": 4}
    assert found(spark, Request(images=(KEPT * 32,))) == {"post": 0, "image": 1, "picture": 1, "text": 3}


def test_a_picture_that_another_post_shows_stays(spark: SparkSession) -> None:
    shown = {**row(TABLES["media"], KEPT), "media_key": "picture-aaaa", "position": 2}
    image = {**row(TABLES["images"], KEPT), "image_id": "c" * 32, "media_key": "picture-aaaa"}
    rows = {"media": [*both("media"), shown], "images": [*both("images"), image]}
    assert found(spark, Request(posts=("post-aaaa",)), **rows)["picture"] == 0


@pytest.fixture
def corpora(tmp_path: Path) -> Config:
    """Two posts with a picture each, and two pictures in a folder."""
    posts, folder = tmp_path / "posts", tmp_path / "own"
    (posts / "media").mkdir(parents=True)
    folder.mkdir()
    page = {
        "data": [{"id": f"1{i}", "author_id": f"9{i}", "text": f"words {i}", "attachments": {"media_keys": [f"3_{i}"]}}
                 for i in range(2)],
        "includes": {"users": [{"id": f"9{i}", "username": f"name of {i}"} for i in range(2)],
                     "media": [{"media_key": f"3_{i}", "type": "photo", "alt_text": f"alt {i}"} for i in range(2)]},
    }  # fmt: skip
    (posts / "page.json").write_text(json.dumps(page))
    for i in range(2):
        (posts / "media" / f"3_{i}.png").write_bytes(png(i))
        (folder / f"{i}.png").write_bytes(png(10 + i))
    return Config(corpora=(
        Corpus(name="posts", role="posts", reader="x_api", path=str(posts)),
        Corpus(name="own", role="art", path=str(folder)),
    ))  # fmt: skip


@pytest.fixture
def ingested(spark: SparkSession, store: Store) -> Callable[[Config], dict[str, Any]]:
    """Runs ingest on a store, and returns what it made; nothing may be lost."""

    def once(cfg: Config) -> dict[str, Any]:
        context = StageContext(spark, lambda f: f.localCheckpoint(), lambda text: None, table_version=store.version)  # type: ignore[arg-type]
        made = dict(ingest.run(cfg, context, **{name: store.read(name) for name in ingest.STAGE.reads}))
        for name, frame in made.items():
            store.write(name, frame, stage="ingest")
        assert ingest.account(cfg, spark, {name: store.read(name) for name in made}).lost == 0
        return {name: store.read(name).collect() for name in made}

    return once


def test_what_was_purged_does_not_come_back(
    spark: SparkSession, store: Store, corpora: Config, ingested: Callable[[Config], dict[str, Any]]
) -> None:
    """The files stay as they are: tombstones keep them out, and no file of the store has them."""
    first = ingested(corpora)
    (own,) = [r.image_id for r in first["images"] if r.source_key == "0.png"]
    done = run(store, Request(authors=("90",), images=(own,)), corpora)
    assert done.rows == {"raw_posts": 1, "posts": 1, "media": 1, "images": 2}
    assert len(done.left) == 2 and done.files == 0
    again = ingested(corpora)
    text = "".join(map(parquet_text, parquet_files(store)))
    assert not [word for word in ("words 1", "name of 1", "alt 1") if word not in text]
    assert not [word for word in ("words 0", "name of 0", "alt 0", "'90'", '"90"') if word in text]
    assert {name: [r.post_id for r in again[name]] for name in ("raw_posts", "posts", "media")} == {
        "raw_posts": ["11"], "posts": ["11"], "media": ["11"]
    }  # fmt: skip
    (raw,) = again["raw_posts"]
    assert "words 1" in raw.json and "words 0" not in str(again) and raw.author["id"] == "91"
    assert sorted(r.source_key for r in again["images"]) == ["1.png", "11/3_1"]
    assert sorted(r.reason for r in again["rejects"]) == ["no_post", "purged"]
    assert not any(r.key == "0.png" for r in again["rejects"])
    context = StageContext(spark, lambda f: f.localCheckpoint(), lambda text: None)
    tombs = store.read("tombstones")
    assert list(fetch.run(corpora, context, downloads=store.read("downloads"), tombstones=tombs)) == []


@pytest.mark.parametrize("files", [False, True])
def test_files_of_corpora_are_removed_and_pages_rewritten(corpora: Config, tmp_path: Path, files: bool) -> None:
    page, pictures = tmp_path / "posts" / "page.json", (tmp_path / "own" / "0.png", tmp_path / "posts/media/3_0.png")
    images = [Row(corpus="own", source_key="0.png"), Row(corpus="posts", source_key="10/3_0")]
    removed, left = _clean_sources(corpora, {"post": ["10"], "picture": ["3_0", "0.png"]}, images, files)
    assert bool(left) is not files and removed == (3 if files else 0)
    assert all(picture.exists() is not files for picture in pictures)
    text = page.read_text()
    assert ("words 0" in text) is ('"90"' in text) is not files and "words 1" in text
    assert (tmp_path / "own" / "1.png").exists() and (tmp_path / "posts/media/3_1.png").exists()


@pytest.mark.usefixtures("without_vacuum")
@pytest.mark.parametrize("scheme", ["folder", "s3a"])
def test_no_fitted_file_of_what_was_purged_is_left(
    spark: SparkSession, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Files of rows, those of runs that were cut off, copies on this machine, and the report."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with ExitStack() as stack:
        place = str(tmp_path / "art")
        if scheme == "s3a":
            server = stack.enter_context(moto_server.serving())
            place = f"s3a://{moto_server.BUCKET}/art"
            for key, value in server.settings:
                spark.conf.set(key, value)
                stack.callback(spark.conf.unset, key)
        where = folder("unused", place, settings_of(spark))
        fill(store, ["images"])
        files = {"umap.npz": "project", "reward/reward.safetensors": "reward", "own-0.faiss": "neighbours"}
        made = [publish(where, name, stage) for name, stage in files.items()]
        rows = [{**asdict(each), "stage": stage} for stage, each in made]
        store.write("artifacts", declared.table(spark, "artifacts", rows), stage="project")
        left = ("reward/README.md", "reward/reward.json", "reward-training/k/heads/f/epoch-0001/weights.safetensors",
                "photo-0.faiss", "report.html", "posts-1.arrow", "mine.txt")  # fmt: skip
        for name in left:
            write_text(f"{place}/{name}", "aaaa", where.settings)
        where.local.mkdir(parents=True, exist_ok=True)
        (where.local / "posts-0.faiss").write_text("aaaa")
        cfg = Config.model_validate({
            "store": {"artifacts": place}, "report": {"path": f"{place}/report.html"},
            "corpora": [
                {"name": "posts", "role": "art", "path": "p"}, {"name": "photo", "role": "natural", "path": "p"},
            ],
        })  # fmt: skip
        run(store, Request(images=(PURGED * 32,)), cfg)
        there = server.keys("art/") if scheme == "s3a" else [str(p) for p in Path(place).rglob("*") if p.is_file()]
        # An index of a reference in which nothing was purged, and what is none of ours.
        assert sorted(name.rpartition("/")[2] for name in there) == ["mine.txt", "photo-0.faiss"]
        assert [p for p in (tmp_path / "tmp").rglob("*") if p.is_file() and p.suffix != ".lock"] == []


def publish(where: ArtifactFolder, name: str, stage: str) -> tuple[str, Artifact]:
    """Return a stage and its artifact."""
    file = where.local / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("aaaa")
    file.with_suffix(".ids").write_text("aaaa")
    return stage, where.publish(f"{stage}/x", "any", file, "{}")


def test_ids_are_read_from_lines_and_from_a_csv(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\n\n 2 \n1\n")
    (tmp_path / "gone.csv").write_text("id,reason\n3,Not Found Error\n")
    assert (read_ids(tmp_path / "a.txt"), read_ids(tmp_path / "gone.csv"), read_ids(None)) == (("1", "2"), ("3",), ())
    (tmp_path / "bad.txt").write_text("x" * 600)
    for name in ("bad.txt", "none.txt"):
        with pytest.raises(ConfigError, match="must be"):
            read_ids(tmp_path / name)
