"""This run beside an earlier one, in a store of two runs."""

from __future__ import annotations

import base64
import csv
import io
import re
from datetime import datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.stores import copy_store
from tests.tables import table
from twigma_spark.changes import PastRun, choose_run, past_runs, write_changes
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.tables import Store
from twigma_spark.results import Result, Value
from twigma_spark.stages.records import result_rows

EVIL = "=1+1</table><script>"


def made(estimate: float, of: str = EVIL) -> Result:
    value = Value(estimate, estimate - 0.1, estimate + 0.1, 9, "images", "")
    return Result.of("distinctiveness", "js", value, p=of, q="q")


@pytest.fixture(scope="module")
def two_runs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Runs `a` and `b`: the value rises from 1 to 2, another one is gone."""
    store = Store(spark, str(tmp_path_factory.mktemp("two_runs")))
    for day, (run_id, results) in enumerate({"a": [made(1.0), made(5.0, "gone")], "b": [made(2.0)]}.items(), start=1):
        store.write("results", result_rows(store.spark, "distinctiveness", results), stage="distinctiveness")
        row = {"run_id": run_id, "stage": "distinctiveness", "status": "ok", "started_at": datetime(2023, 1, day),
               "output_versions": {"results": store.version("results")}}  # fmt: skip
        store.write("runs", table(store.spark, "runs", [row]), stage="distinctiveness")
    return store


def test_what_changed_since_a_run(two_runs: Store, tmp_path: Path) -> None:
    assert [(run.run_id, run.started_at) for run in past_runs(two_runs)] == [
        ("b", datetime(2023, 1, 2)), ("a", datetime(2023, 1, 1)),
    ]  # fmt: skip
    changes, path = write_changes(Config(), two_runs, "previous", str(tmp_path / "c.html"))
    (change,) = changes.beyond
    # 2 - 1 with the half-widths 0.1 and 0.1: sqrt(0.02) = 0.1414.
    assert [round(n or 0, 4) for n in (change.difference, change.low, change.high)] == [1.0, 0.8586, 1.1414]
    assert [r.labels["p"] for r in changes.gone] == ["gone"]
    page = Path(path).read_text()
    assert "1 of 1 statistics changed" in page and "against run a of 2023-01-01 00:00" in page
    assert "gone distinctiveness 1" in re.sub(r"\s+", " ", page)
    assert EVIL not in page and "<script" not in page
    link = re.search(r"base64,([^\"]+)", page)
    assert link
    (row,) = csv.DictReader(io.StringIO(base64.b64decode(link[1]).decode()))
    assert (row["labels"][:2], row["before"], row["now"], row["beyond_interval"]) == ("'=", "1.0", "2.0", "True")
    assert not write_changes(Config(), two_runs, "b", str(tmp_path / "d.html"))[0].beyond


def test_a_run_that_was_vacuumed_is_said(two_runs: Store, tmp_path: Path) -> None:
    store = copy_store(two_runs, tmp_path / "store")
    store.vacuum(["results"], 0)
    with pytest.raises(ConfigError, match="its files were removed, as twigma maintain does"):
        write_changes(Config(), store, "a", str(tmp_path / "c.html"))
    assert not (tmp_path / "c.html").exists()


@pytest.mark.parametrize(("runs", "against", "there"), [
    ([PastRun("a", datetime(2023, 1, 1), 1)], "previous", r"\(a of 2023-01-01 00:00\)"), ([], "x", r"\(none\)"),
])  # fmt: skip
def test_a_run_that_is_not_there(runs: list[PastRun], against: str, there: str) -> None:
    with pytest.raises(ConfigError, match=rf"--against must be previous or the id of a run .* {there}. Got '"):
        choose_run(runs, against)
