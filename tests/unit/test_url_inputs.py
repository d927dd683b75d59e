"""Answers of annotators and judgements of people at URLs, in S3 and in a storage of fsspec, read as from a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import moto_server
from twigma_spark.errors import CorpusError
from twigma_spark.io import answers, url_files
from twigma_spark.io.answers import blank_sheet, read_answers
from twigma_spark.io.preferences import Preference, read_preferences
from twigma_spark.io.url_files import Settings, write_url

Place = tuple[str, Settings]


@pytest.fixture(scope="module")
def server() -> Iterator[moto_server.Server]:
    with moto_server.serving() as found:
        yield found


@pytest.fixture(params=["s3a", "memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A URL with nothing below it, and how it is reached."""
    if request.param == "file":
        return f"file://{tmp_path}/in", ()
    if request.param == "memory":
        pytest.importorskip("fsspec", reason="fsspec is not installed")
        return f"memory://bucket/{tmp_path.name}/in", ()
    server = request.getfixturevalue("server")
    return f"s3a://{moto_server.BUCKET}/{tmp_path.name}/in", server.settings


def parquet(columns: dict[str, list[object]]) -> bytes:
    out = BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_answers_at_a_url(place: Place) -> None:
    url, settings = place
    with pytest.raises(CorpusError, match=r"concordance\.answers must be a folder"):
        read_answers(url, settings)
    saved = {"annotator": "ann", "answers": [{"item": "x", "keywords": ["a"], "group": "g"}]}
    write_url(f"{url}/saved.json", json.dumps(saved).encode(), settings)
    before = answers.fingerprint(url, settings)
    sheet = "\ufeff" + blank_sheet(["x"]).replace("1,x,,,,", "1,x,tree,,,two")
    write_url(f"{url}/bob.csv", sheet.encode(), settings)
    write_url(f"{url}/notes.txt", b"not an answer", settings)
    write_url(f"{url}/older/ann.json", b"not an answer", settings)
    assert read_answers(f"{url}/", settings) == read_answers(url, settings) == [
        ("bob", "x", ("tree", "", ""), "two"), ("ann", "x", ("a",), "g"),
    ]  # fmt: skip
    assert answers.fingerprint(url, settings) != before
    write_url(f"{url}/bob.csv", b"x,y\n1,2\n", settings)
    with pytest.raises(CorpusError, match=r"answers must be a file .*in/bob\.csv"):
        read_answers(url, settings)


JUDGEMENTS: dict[str, tuple[Callable[[], bytes], Preference]] = {
    "imagereward": (
        lambda: json.dumps([{"prompt": "p", "generations": ["a", "b"], "ranking": [2, 1]}]).encode(),
        Preference("p", "b", "a"),
    ),
    "pickapic": (
        lambda: parquet({"caption": ["p"], "image_0_uid": ["a"], "image_1_uid": ["b"], "label_0": [1.0]}),
        Preference("p", "a", "b"),
    ),
}


@pytest.mark.parametrize("form", JUDGEMENTS)
def test_judgements_at_a_url(place: Place, form: str) -> None:
    url, settings = f"{place[0]}/judged", place[1]
    content, expected = JUDGEMENTS[form]
    with pytest.raises(CorpusError, match=f"preferences must be a file of the format {form}. Got '{url}"):
        read_preferences(url, form, settings)
    write_url(url, content(), settings)
    assert read_preferences(url, form, settings) == [expected]


def test_a_judgement_that_changes_is_noticed(place: Place) -> None:
    url, settings = f"{place[0]}/judged.json", place[1]
    assert url_files.fingerprint(url, settings) == "missing"
    write_url(url, b"[]", settings)
    first = url_files.fingerprint(url, settings)
    assert first == url_files.fingerprint(url, settings) != "missing"
    write_url(url, b"[ ]", settings)
    assert url_files.fingerprint(url, settings) not in (first, "missing")


class Counting:
    """A file that counts what is read of it."""

    def __init__(self, file: pa.NativeFile) -> None:
        self.file, self.n_bytes, self.closed = file, 0, False

    def read(self, size: int = -1) -> bytes:
        content = bytes(self.file.read(size))
        self.n_bytes += len(content)
        return content

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self.file.seek(place, whence))

    def tell(self) -> int:
        return int(self.file.tell())

    def close(self) -> None:
        self.file.close()
        self.closed = True


def test_of_a_large_file_in_s3_only_what_is_read_comes(
    server: moto_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of Pick-a-Pic hold pictures of gigabytes."""
    url = f"s3a://{moto_server.BUCKET}/large.parquet"
    columns = {"prompt": ["p"], "jpg_0": [b"\xff" * 30_000_000], "pos_path": ["a"], "neg_path": ["b"]}
    out = BytesIO()
    pq.write_table(pa.table(columns), out, compression="none", use_dictionary=False, write_statistics=False)
    write_url(url, out.getvalue(), server.settings)
    files = [Counting(url_files.open_file(url, server.settings))]
    monkeypatch.setattr(url_files, "open_file", lambda path, settings: closing(files[0]))
    assert read_preferences(url, "social_reward", server.settings) == [Preference("p", "a", "b")]
    assert 0 < files[0].n_bytes < 1_000_000
