"""Sizes and fingerprints of local files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twigma_spark.io.local_files import fingerprint, hold_at_most, list_files, read_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in (("a.jpg", 10), (".hidden", 20), ("_x/b.png", 30)):
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return tmp_path / "files"


def test_all_files_count_whatever_their_names(folder: Path) -> None:
    assert hold_at_most([str(folder)], 60) and not hold_at_most([str(folder)], 59)
    assert not hold_at_most([str(folder), str(folder / "a.jpg")], 69)
    assert sorted((f.key, f.n_bytes, f.fault) for f in list_files(str(folder))) == [
        (".hidden", 20, None), ("_x/b.png", 30, None), ("a.jpg", 10, None),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["s3://bucket/x", "dbfs:/x", "catalog.schema"])
def test_what_is_elsewhere_is_never_small_and_has_no_fingerprint(path: str) -> None:
    assert not hold_at_most([path], 10**12)
    assert fingerprint(path) is None


def test_what_does_not_exist_takes_nothing(tmp_path: Path) -> None:
    assert hold_at_most([str(tmp_path / "none")], 0)
    assert fingerprint(str(tmp_path / "none")) is None
    assert list(list_files(str(tmp_path / "none"))) == []


def test_a_fingerprint_changes_with_names_sizes_and_times(folder: Path) -> None:
    seen = {fingerprint(str(folder))}
    assert seen == {fingerprint(str(folder))}
    (folder / "_x" / "c").touch()
    seen.add(fingerprint(str(folder)))
    (folder / "_x" / "c").write_bytes(b"1")
    seen.add(fingerprint(str(folder)))
    os.utime(folder / "a.jpg", (1, 1))
    seen.add(fingerprint(str(folder)))
    assert len(seen) == 4


def test_a_circle_of_links_and_a_dangling_one_end(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "none")
    assert hold_at_most([str(folder)], 1000)
    assert fingerprint(str(folder)) is not None
    faults = {file.key: file.fault for file in list_files(str(folder)) if file.fault}
    assert faults == {"loop/": "link_circle", "dangling": "dangling_link"}


def test_links_out_of_the_folder_are_followed_or_named(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "c.jpg").write_bytes(b"123")
    (folder / "out").symlink_to(other)
    (folder / "one.jpg").symlink_to(other / "c.jpg")
    (folder / "inside.jpg").symlink_to(folder / "a.jpg")
    assert {f.key for f in list_files(str(folder))} >= {"out/c.jpg", "one.jpg", "inside.jpg"}
    closed = {file.key: file.fault for file in list_files(str(folder), follow_links=False)}
    assert closed["out"] == closed["one.jpg"] == "link_out_of_corpus"
    assert closed["inside.jpg"] is None and "out/c.jpg" not in closed


def test_pipes_and_names_that_are_not_utf_8_are_files_with_a_key(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"1234")
    files = {file.key: file for file in list_files(str(folder))}
    assert files["pipe.jpg"].fault == "not_a_file"
    assert read_bytes(files["caf\\xe9.jpg"].path, 4) == b"1234" and read_bytes(files["caf\\xe9.jpg"].path, 3) is None
