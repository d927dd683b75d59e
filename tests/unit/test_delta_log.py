"""Commits read from the files of a Delta log; beside Delta's own history in tests/spark/test_tables.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from twigma_spark.errors import StoreError
from twigma_spark.io.delta_log import Commit, commits


def log(table: Path, version: int, **info: object) -> None:
    folder = table / "_delta_log"
    folder.mkdir(parents=True, exist_ok=True)
    actions = [{"add": {"path": "x"}}, {"commitInfo": {"timestamp": 1_700_000_000_000 + version, **info}}]
    (folder / f"{version:020d}.json").write_text("\n".join(json.dumps(action) for action in actions))


def test_the_newest_come_first_and_no_more_than_asked(tmp_path: Path) -> None:
    for version in (0, 1, 9, 10):
        log(tmp_path, version)
    assert [commit.version for commit in commits(tmp_path, 3)] == [10, 9, 1]


def test_a_commit_knows_its_time_rows_and_token(tmp_path: Path) -> None:
    log(tmp_path, 3, operationMetrics={"numOutputRows": "12"}, userMetadata="t")
    assert list(commits(tmp_path, 1)) == [Commit(3, datetime(2023, 11, 14, 22, 13, 20, 3000), 12, "t")]


def test_other_files_of_the_log_are_no_commits(tmp_path: Path) -> None:
    log(tmp_path, 0)
    for name in ("00000000000000000000.crc", "00000000000000000010.checkpoint.parquet", "_last_checkpoint"):
        (tmp_path / "_delta_log" / name).touch()
    assert [commit.version for commit in commits(tmp_path, 9)] == [0]


def test_no_table_has_no_commits(tmp_path: Path) -> None:
    assert list(commits(tmp_path / "none", 1)) == []


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: "", "it is empty"),
        (lambda text: text[:10], "it is cut off"),
        (lambda text: text[:-5], "it is cut off"),
        (lambda text: text.splitlines()[0], "it has no commitInfo"),
    ],
)
def test_a_damaged_commit_is_an_error(tmp_path: Path, damage: Callable[[str], str], what: str) -> None:
    log(tmp_path, 0)
    assert len(list(commits(tmp_path, 1))) == 1
    (entry,) = (tmp_path / "_delta_log").iterdir()
    entry.write_text(damage(entry.read_text()))
    with pytest.raises(StoreError, match=f"newest commit of table .* must be whole.*{what}.*Remove that file"):
        list(commits(tmp_path, 1))
