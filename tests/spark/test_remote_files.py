"""Folders that Spark lists: nothing in them is silently left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Ingest
from twigma_spark.io import corpora, remote_files

SEEN = ["a.jpg", "b c/d.JPG", "_day=1/e.png", "empty.png"]
HIDDEN = ["_DSC0011.JPG", ".f.png", "_trash/g.png", "b c/.cache/deep/h.jpg"]
OTHER = ["_SUCCESS", ".a.jpg.crc", "_delta_log/0.json", "notes.txt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a folder of such files."""
    root = tmp_path_factory.mktemp("remote [x]")
    for name in (*SEEN, *HIDDEN, *OTHER):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"" if name.startswith("empty") else b"12345")
    link = root.with_name("remote")  # no folder with a pattern in its name, which Spark would take for one
    link.symlink_to(root)
    return link.as_uri()


def test_hidden_files_are_rejects_and_every_file_is_counted(spark: SparkSession, folder: str) -> None:
    corpus = Corpus(name="posts", role="posts", path=folder)
    rows = corpora.read_images(spark, corpus, folder, Ingest()).rows.collect()
    reasons = {row.source_key: row.reason for row in rows}
    assert reasons == {**dict.fromkeys(SEEN), **dict.fromkeys(HIDDEN, "hidden_name")}
    assert {row.source_key: row.n_bytes for row in rows} == {**dict.fromkeys(SEEN + HIDDEN, 5), "empty.png": 0}
    listed = corpora.list_images(spark, corpus, folder, Ingest()).collect()
    assert sorted(row.source_key for row in listed) == sorted(SEEN + HIDDEN)


def test_a_new_hidden_file_changes_the_fingerprint(spark: SparkSession, folder: str) -> None:
    corpus = Corpus(name="posts", role="posts", path=folder)
    before = corpora.fingerprint(spark, (corpus,))
    assert corpora.fingerprint(spark, (corpus,)) == before
    new = Path(folder.removeprefix("file://")) / "_new.png"
    new.write_bytes(b"1")
    after = corpora.fingerprint(spark, (corpus,))
    new.unlink()
    assert after != before


def test_nothing_is_found_where_hadoop_cannot_be_reached() -> None:
    assert remote_files.list_hidden_images(object(), "s3a://bucket/x") == []  # type: ignore[arg-type]
