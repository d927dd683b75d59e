"""Sizes and fingerprints of local files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twigma_spark.io.local_files import fingerprint, hold_at_most, smallest_and_largest


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
    assert smallest_and_largest(str(folder)) == (10, 30)


@pytest.mark.parametrize("path", ["s3://bucket/x", "dbfs:/x", "catalog.schema"])
def test_what_is_elsewhere_is_never_small_and_has_no_fingerprint(path: str) -> None:
    assert not hold_at_most([path], 10**12)
    assert fingerprint(path) is None and smallest_and_largest(path) is None


def test_what_does_not_exist_takes_nothing(tmp_path: Path) -> None:
    assert hold_at_most([str(tmp_path / "none")], 0)
    assert fingerprint(str(tmp_path / "none")) is None


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
