"""Looking the posts of a release up again, at a server that limits, fails, refuses and redirects."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.hosts import Answer, answering
from twigma_spark.release import rehydrate
from twigma_spark.release.rehydrate import RehydrationError, main, read_ids, wait_of

GONE = "1007"


def found(ids: list[str]) -> object:
    errors = [{"resource_id": i, "title": "Not Found Error"} for i in ids if i == GONE]
    return {"data": [{"id": i, "text": "a"} for i in ids if i != GONE], "errors": errors}


@contextmanager
def serving(answer: Callable[[int, list[str]], Answer]) -> Iterator[tuple[str, list[tuple[list[str], str]]]]:
    """Yield the address of a server, and what it was asked: ids and token."""
    asked: list[tuple[list[str], str]] = []

    def record(path: str, given: dict[str, str], token: str) -> Answer:
        ids = given.get("ids", "").split(",")
        asked.append((ids, token))
        return answer(len(asked), ids)

    with answering(record) as address:
        yield address, asked


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    slept: list[float] = []
    # Its own view of time: other threads of the process wait as ever.
    own = SimpleNamespace(sleep=slept.append, time=time.time, strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(rehydrate, "time", own)
    monkeypatch.setattr(rehydrate, "BATCH", 10)
    monkeypatch.setenv("X_BEARER_TOKEN", "secret")
    return slept


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    """A file of a release with 25 posts, one of them of two images."""
    file = tmp_path / "images.csv"
    file.write_text('"id","image_name"\n' + "".join(f'"{1000 + i}","a"\n' for i in [*range(25), 0]))
    return file


def test_all_posts_are_looked_up_once_and_what_is_gone_is_listed(ids: Path, tmp_path: Path, waits: list[float]) -> None:
    out = tmp_path / "posts"
    with serving(lambda n, asked: (200, {}, found(asked))) as (api, asked):
        assert main([str(ids), "--out", str(out), "--api", api]) == 0
        assert [len(batch) for batch, _ in asked] == [10, 10, 5] and {token for _, token in asked} == {"Bearer secret"}
        assert main([str(ids), "--out", str(out), "--api", api]) == 0
    assert len(asked) == 3 and waits == []
    given = [post["id"] for file in out.glob("page-*.json") for post in json.loads(file.read_text())["data"]]
    assert sorted(given) == [str(1000 + i) for i in range(25) if i != 7]
    assert (out / "gone.csv").read_text().splitlines() == ["id,reason", "1007,Not Found Error"]


def test_it_waits_and_goes_on_where_it_was(
    ids: Path, tmp_path: Path, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(n: int, asked: list[str]) -> Answer:
        if n == 1:
            return 429, {"x-rate-limit-reset": str(int(time.time()) + 30)}, {}
        return (503, {}, {}) if n == 2 else (403, {}, {}) if n == 4 else (200, {}, found(asked))

    out = tmp_path / "posts"
    with serving(answer) as (api, _):
        assert main([str(ids), "--out", str(out), "--api", api]) == 2
        said = capsys.readouterr()
        assert "must accept the token" in said.err and "secret" not in said.err + said.out
        (out / "page-1000.json").write_text('{"data": [')  # as if the disk had been full
        assert main([str(ids), "--out", str(out), "--api", api, "--max-posts", "12"]) == 0
        assert main([str(ids), "--out", str(out), "--api", api]) == 0
    assert 29 < waits[0] <= 31 and waits[1] == 2.0
    assert sum(len(json.loads(file.read_text())["asked"]) for file in out.glob("page-*.json")) == 25


def test_a_redirect_is_not_followed_with_the_token(ids: Path, tmp_path: Path, waits: list[float]) -> None:
    with (
        serving(lambda n, asked: (200, {}, found(asked))) as (other, reached),
        serving(lambda n, asked: (302, {"Location": other}, {})) as (api, _),
    ):
        assert main([str(ids), "--out", str(tmp_path / "posts"), "--api", api]) == 2
    assert reached == []


def test_a_server_that_never_answers_well_ends_it(ids: Path, tmp_path: Path, waits: list[float]) -> None:
    with (
        serving(lambda n, asked: (200, {}, b"<html>")) as (api, asked),
        pytest.raises(RehydrationError, match="answer"),
    ):
        rehydrate.rehydrate([ids], tmp_path / "posts", "token", api=api)
    assert len(asked) == rehydrate.ATTEMPTS == len(waits)


@pytest.mark.parametrize(
    ("text", "sentence"), [("name\na\n", "must have a column id"), ("id\n1.6e18\n", r"whole numbers.*1\.6e18")]
)
def test_files_without_whole_ids_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RehydrationError, match=sentence):
        list(read_ids([tmp_path / "a.csv"]))


def test_no_token_is_a_sentence(ids: Path, tmp_path: Path) -> None:
    with pytest.raises(RehydrationError, match="X_BEARER_TOKEN must hold"):
        rehydrate.rehydrate([ids], tmp_path / "posts", " ")


def test_waits_grow_and_end() -> None:
    assert [wait_of({}, attempt, 0.0) for attempt in (0, 3, 30)] == [1.0, 8.0, rehydrate.LONGEST_WAIT]
    assert wait_of({"x-rate-limit-reset": "10"}, 0, 100.0) == 1.0
