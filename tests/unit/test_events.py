"""Events: one line of JSON each, also of stages side by side; no secret in them; codes of failures."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from twigma_spark.errors import CorpusError, ExitCode, HeldError, StageError, StoreError, TwigmaError, exit_code_of
from twigma_spark.io.events import EventLog


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_tells_what_starts_and_how_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    events = EventLog(str(path), "abc")
    with pytest.raises(StageError), events.around("run"):
        with events.around("stage", "embed") as told:
            told.update(rows={"embeddings": 3}, rejects={})
        with events.around("stage", "score"):
            raise StageError("score", None, "no disk", ExitCode.PLATFORM)
    found = lines(path)
    assert [(each["event"], each.get("stage")) for each in found] == [
        ("run_started", None), ("stage_started", "embed"), ("stage_ended", "embed"),
        ("stage_started", "score"), ("stage_failed", "score"), ("run_failed", None),
    ]  # fmt: skip
    assert {each["run_id"] for each in found} == {"abc"} and all(each["time"].endswith("Z") for each in found)
    assert found[2]["rows"] == {"embeddings": 3} and found[2]["seconds"] >= 0
    assert [found[n]["exit_code"] for n in (4, 5)] == [4, 4]
    assert found[4]["error"] == "stage 'score' failed: no disk"


def test_lines_of_stages_side_by_side_are_whole_and_without_secrets(tmp_path: Path) -> None:
    events = EventLog(str(tmp_path / "e"), "abc")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: events.write("x", detail=f"s3a://me:hidden-{n}@bucket" + "." * 5000), range(40)))
    assert len(lines(tmp_path / "e")) == 40
    assert "hidden" not in (tmp_path / "e").read_text()


def test_the_standard_error_and_nowhere_are_places_too(capsys: pytest.CaptureFixture[str]) -> None:
    EventLog("stderr", "abc").write("x")
    assert json.loads(capsys.readouterr().err)["event"] == "x"
    EventLog(None, "abc").write("x")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TwigmaError("x"), 3), (CorpusError("x"), 3), (StoreError("x"), 4), (HeldError("x"), 5), (OSError("x"), 4),
        (ValueError("x"), 3), (StageError("embed", None, "x"), 3), (StageError("embed", None, "x", ExitCode.HELD), 5),
    ],
)  # fmt: skip
def test_a_failure_has_the_code_of_what_must_be_done(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code
