"""Tars of images: what belongs together, where the bytes are, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import corpora as made
from twigma_spark.io.archives import count_members, members_of, stem_of
from twigma_spark.io.local_files import read_part

COLUMNS = {"caption": "caption", "prompt": "p"}


def test_texts_belong_to_the_image_of_their_name(tmp_path: Path) -> None:
    files = {
        "a/1.jpg": b"one",
        "a/1.json": b'{"caption": "json", "p": [7, 8], "other": null}',
        "a/1.txt": b"text\n",
        "a/2.seg.png": b"two",
        "b/2.txt": b"of no image",
        "notes.md": b"",
    }
    tar = made.put_tar(tmp_path / "0.tar", files)
    one, two = members_of(tar, COLUMNS)
    assert (one.source_key, one.texts) == ("0.tar/a/1.jpg", {"caption": "text", "prompt": "7"})
    assert (two.source_key, two.texts, two.reason) == ("0.tar/a/2.seg.png", {}, None)
    assert [read_part(str(tar).encode(), m.start, m.n_bytes) for m in (one, two)] == [b"one", b"two"]


def test_names_that_come_again_and_what_is_no_tar_have_a_reason(tmp_path: Path) -> None:
    part = made.put_tar(tmp_path / "part.tar", {"a.jpg": b"x"}).read_bytes()[:1024]
    twice = made.put(tmp_path / "twice.tar", part + part + bytes(1024))
    assert [m.reason for m in members_of(twice, {})] == [None, "duplicate_key"]
    for name, content in (("words.tar", b"words" * 300), ("empty.tar", b"")):
        (only,) = members_of(made.put(tmp_path / name, content), {})
        assert (only.source_key, only.reason) == (name, "unreadable_archive")


@given(cut=st.integers(0, 4096))
def test_a_tar_that_is_cut_off_anywhere_counts_as_many_as_it_gives(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    whole = made.put_tar(
        tmp_path_factory.getbasetemp() / "whole.tar", {"a.jpg": b"a" * 700, "a.json": b"{", "b.png": b"b"}
    )
    tar = made.put(tmp_path_factory.getbasetemp() / "cut.tar", whole.read_bytes()[:cut])
    found = list(members_of(tar, COLUMNS))
    assert len(found) == count_members(tar)
    assert {m.source_key for m in found} <= {"cut.tar/a.jpg", "cut.tar/b.png", "cut.tar"}


def test_the_stem_ends_at_the_first_dot_of_the_name() -> None:
    assert stem_of("a.b/c.seg.png") == "a.b/c" and stem_of("x") == "x"
