"""fetch on a host of this machine: what is had is not asked again, what may come is, and ingest takes it in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables as declared
from tests.hosts import Host, png, serving
from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Fetch
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.arrow import local_frame
from twigma_spark.stages import fetch, ingest
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.downloads import to_be_asked

Run = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with serving() as found:
        yield found


def write_corpora(tmp_path: Path, host: Host) -> Config:
    """Return a configuration of posts of X whose pictures are at the host, and of a folder with a list of addresses."""
    posts, folder = tmp_path / "posts", tmp_path / "photos"
    posts.mkdir()
    folder.mkdir()
    paths = {"3_1": "ok/1", "3_2": "404/a", "3_3": "500/a", "3_4": "html/a", "../3_5": "ok/5"}
    page = {
        "data": [{"id": str(i), "text": "a", "attachments": {"media_keys": [key]}} for i, key in enumerate(paths)],
        "includes": {"media": [{"media_key": k, "type": "photo", "url": f"{host.url}/{p}"} for k, p in paths.items()]},
    }
    (posts / "page.json").write_text(json.dumps(page))
    (tmp_path / "photos.csv").write_text(f"file,url\nin/a.png,{host.url}/ok/7\nhere.png,{host.url}/ok/8\nno.png,\n")
    (folder / "here.png").write_bytes(png(8))
    return Config(
        corpora=(
            Corpus(name="posts", role="posts", reader="x_api", path=str(posts), fetch=True),
            Corpus(name="photos", role="natural", path=str(folder), metadata=str(tmp_path / "photos.csv"), fetch=True),
        ),
        fetch=Fetch(rate=1000, tries=1, attempts=2, private_hosts=("127.0.0.1",)),
    )


@pytest.fixture
def cfg(tmp_path: Path, host: Host) -> Config:
    """Corpora of which nothing was downloaded."""
    return write_corpora(tmp_path, host)


@pytest.fixture(scope="module")
def run(spark: SparkSession) -> Run:
    """Runs the stage after earlier attempts, and returns its own."""

    def once(cfg: Config, before: list[Any] = ()) -> list[Any]:  # type: ignore[assignment]
        context = StageContext(spark, lambda frame: frame.localCheckpoint(), lambda text: None)
        downloads = declared.table(spark, "downloads", [row.asDict() for row in before])
        tombstones = declared.table(spark, "tombstones", [])
        parts = fetch.run(cfg, context, downloads, tombstones)
        return [row for part in parts for row in part["downloads"].collect()]

    return once


@dataclass(frozen=True)
class Fetched:
    """Corpora after a run of the stage, its rows, and how often the host was asked for each path."""

    folder: Path
    cfg: Config
    rows: list[Any]
    seen: dict[str, int]


@pytest.fixture(scope="module")
def fetched(run: Run, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    """One run for those that look at what it left."""
    folder = tmp_path_factory.mktemp("fetched")
    cfg = write_corpora(folder, host)
    host.seen.clear()
    return Fetched(folder, cfg, run(cfg), dict(host.seen))


def test_every_picture_is_accounted_for_and_asked_again_only_where_it_may_come(
    fetched: Fetched, run: Run, host: Host
) -> None:
    cfg, first, tmp_path = fetched.cfg, fetched.rows, fetched.folder
    assert {(row.corpus, row.source_key): row.reason for row in first} == {
        ("posts", "3_1"): "ok", ("posts", "3_2"): "gone", ("posts", "3_3"): "status", ("posts", "3_4"): "not_an_image",
        ("posts", "../3_5"): "bad_name", ("photos", "in/a.png"): "ok",
    }  # fmt: skip
    assert (tmp_path / "posts/media/3_1.png").read_bytes() == png(1)
    assert (tmp_path / "photos/in/a.png").read_bytes() == png(7)
    (good,) = [row for row in first if row.source_key == "3_1"]
    assert (good.status, good.n_bytes, good.host) == (200, len(png(1)), "127.0.0.1") and len(good.sha256) == 64
    assert fetched.seen == {"/ok/1": 1, "/404/a": 1, "/500/a": 1, "/html/a": 1, "/ok/7": 1}
    host.seen.clear()
    second = run(cfg, first)
    assert [(row.source_key, row.attempt) for row in second] == [("3_3", 2)]
    assert run(cfg, [*first, *second]) == []  # fetch.attempts is 2
    assert host.seen == {"/500/a": 1}
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "3_5.png").exists()


def test_what_was_downloaded_is_taken_in_and_what_is_missing_says_why(spark: SparkSession, fetched: Fetched) -> None:
    cfg, attempts = fetched.cfg, fetched.rows
    context = StageContext(spark, lambda frame: frame.localCheckpoint(), lambda text: None)
    made = ingest.run(
        cfg, context, images=declared.table(spark, "images", []),
        downloads=declared.table(spark, "downloads", [row.asDict() for row in attempts]),
    )  # fmt: skip
    assert {row.source_key for row in made["images"].select("source_key").collect()} == {
        "0/3_1", "in/a.png", "here.png",
    }  # fmt: skip
    rejects = {row.key: row.detail for row in made["rejects"].where("reason = 'missing_file'").collect()}
    assert "last download: gone 404" in rejects["1/3_2"] and "last download: status 500" in rejects["2/3_3"]
    assert "last download" not in rejects["no.png"]


def test_parts_cover_all_and_overlap_nowhere(cfg: Config, run: Run) -> None:
    small = cfg.model_copy(update={"fetch": cfg.fetch.model_copy(update={"commit_every": 2})})
    assert sorted(row.source_key for row in run(small)) == ["../3_5", "3_1", "3_2", "3_3", "3_4", "in/a.png"]


def test_only_what_is_not_there_is_asked_for(spark: SparkSession) -> None:
    def frame(rows: list[tuple[Any, ...]], schema: str) -> DataFrame:
        return local_frame(spark, rows, schema)

    addresses = frame([(k, f"https://Host.example:8080/{k}") for k in "abcd"], "source_key STRING, url STRING")
    there = frame([("a.jpg",), ("b",), ("c.d/e.jpg",)], "source_key STRING")
    before = declared.table(spark, "downloads", [
        {"corpus": "x", "source_key": "d", "attempt": n, "outcome": outcome}
        for n, outcome in ((1, "final"), (2, "retry"))
    ])  # fmt: skip
    rows = to_be_asked(addresses, there, before, 5).orderBy("source_key").collect()
    assert [(row.source_key, row.host, row.attempts) for row in rows] == [
        ("c", "host.example", 0),
        ("d", "host.example", 2),
    ]


def on_urls(corpus: Corpus) -> Corpus:
    """Return the corpus with its paths as URLs, which Spark lists and fsspec writes."""
    metadata = Path(corpus.metadata).as_uri() if corpus.metadata else None
    return corpus.model_copy(update={"path": Path(corpus.path).as_uri(), "metadata": metadata})


def test_pictures_come_into_folders_on_urls(cfg: Config, run: Run, host: Host, tmp_path: Path) -> None:
    posts, photos = map(on_urls, cfg.corpora)
    # An object store has no folder before its first picture.
    new = photos.model_copy(update={"name": "new", "path": f"{tmp_path.as_uri()}/new"})
    remote = cfg.model_copy(update={"corpora": (posts, photos, new)})
    host.seen.clear()
    first = run(remote)
    assert {(row.corpus, row.source_key): row.reason for row in first} == {
        ("posts", "3_1"): "ok", ("posts", "3_2"): "gone", ("posts", "3_3"): "status", ("posts", "3_4"): "not_an_image",
        ("posts", "../3_5"): "bad_name", ("photos", "in/a.png"): "ok",
        ("new", "in/a.png"): "ok", ("new", "here.png"): "ok",
    }  # fmt: skip
    assert (tmp_path / "posts/media/3_1.png").read_bytes() == png(1)
    assert (tmp_path / "photos/in/a.png").read_bytes() == (tmp_path / "new/in/a.png").read_bytes() == png(7)
    assert sorted(each.name for each in (tmp_path / "new").rglob("*")) == ["a.png", "here.png", "in"]
    assert [row.source_key for row in run(remote, first)] == ["3_3"] and host.seen["/ok/1"] == 1


@pytest.mark.parametrize("path", ["nothing://bucket/posts", "/proc/posts"])
def test_a_url_or_folder_that_cannot_be_written_is_a_sentence(cfg: Config, run: Run, path: str) -> None:
    url = path if "://" in path else Path(path).as_uri()
    elsewhere = cfg.corpora[1].model_copy(update={"path": url})
    with pytest.raises(
        ConfigError, match=r"the folder of corpus 'photos', where fetch is true, must be .*fsspec"
    ) as no:
        run(cfg.model_copy(update={"corpora": (elsewhere,)}))
    assert repr(url) in str(no.value)


def test_without_anything_to_download_it_is_skipped_and_with_it_never(cfg: Config, spark: SparkSession) -> None:
    assert fetch.sources(Config(), spark) == "" != fetch.sources(cfg, spark)
