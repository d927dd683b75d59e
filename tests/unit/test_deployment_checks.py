"""Checks of job definitions: what the vendors' validators let pass is seen here."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from twigma_spark.deployment import checks

TODAY = datetime.date(2026, 11, 30)


@pytest.mark.parametrize("version", ["16.4.x-gpu-ml-scala2.12", "16.4.x-cpu-ml-scala2.12"])
def test_a_listed_runtime_is_right_until_its_support_ends(version: str) -> None:
    assert checks.databricks_runtime(version, TODAY) == []
    assert "support ended on 2028-05-09" in checks.databricks_runtime(version, datetime.date(2028, 5, 10))[0]


@pytest.mark.parametrize(
    "version", ["99.x-nonsense", "16.4.x-scala2.12", "16.4.x-gpu-ml-scala2.13", "99.9.x-gpu-ml-scala2.12"]
)
def test_other_runtimes_are_refused(version: str) -> None:
    assert len(checks.databricks_runtime(version, TODAY)) == 1
    assert len(checks.emr_release("emr-99.0.0")) == 1 and checks.emr_release("emr-7.13.0") == []


def test_a_graph_without_faults() -> None:
    assert checks.graph([("a", ()), ("b", ("a",)), ("c", ("a", "b"))]) == []


@pytest.mark.parametrize(
    ("tasks", "fault"),
    [
        ([("a", ("nobody",))], "exist. Got 'nobody'"),
        ([("a", ("b",)), ("b", ("a",))], "circle"),
        ([("a", ("a",))], "circle"),
        ([("a", ()), ("a", ())], "once. Got 2"),
    ],
)
def test_faults_of_a_graph_are_seen(tasks: list[tuple[str, tuple[str, ...]]], fault: str) -> None:
    assert any(fault in found for found in checks.graph(tasks))


@pytest.mark.parametrize("expression", ["0 0 3 * * ?", "0 30 2 ? * MON-FRI", "0 0 0 1 1 ? 2027", "0 0 12 ? * 2#1"])
def test_right_quartz_schedules(expression: str) -> None:
    assert checks.quartz(expression) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("0 3 * * *", "fields. Got 5"),
        ("0 0 3 * * *", "must have ?"),
        ("0 0 3 ? * ?", "must have ?"),
        ("0 0 3 * ; ?", "Got ';'"),
    ],
)
def test_wrong_quartz_schedules(expression: str, fault: str) -> None:
    assert any(fault in found for found in checks.quartz(expression))


def test_schedules_of_eventbridge() -> None:
    assert checks.eventbridge("cron(0 3 * * ? *)") == []
    assert "cron(...)" in checks.eventbridge("0 3 * * ? *")[0]
    assert "fields. Got 5" in checks.eventbridge("cron(0 3 * * ?)")[0]


def test_time_zones() -> None:
    assert checks.timezone("Europe/Berlin") == []
    assert checks.timezone("Mars/Base") != []


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    assert checks.paths(tmp_path, ["wheels/*.whl"]) == [f"wheels/*.whl must be in {tmp_path}. Got no such file."]
    (tmp_path / "wheels" / "a.whl").touch()
    assert checks.paths(tmp_path, ["wheels/*.whl"]) == []
