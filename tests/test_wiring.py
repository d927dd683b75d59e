"""Tables, configuration, jobs, machines and STAGES agree, and every table read is written by an earlier stage."""

from __future__ import annotations

import re
import runpy
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import table
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config, stage_names
from twigma_spark.deployment import compute
from twigma_spark.pipeline import STAGES
from twigma_spark.report.sections.rejects import REASONS
from twigma_spark.schemas import TABLES, TYPES
from twigma_spark.stages.stage import Stage

ROOT = Path(__file__).resolve().parents[1]
# Written by the runner, and by `twigma purge`.
BY_RUNNER = {"runs", "tombstones"}


def read_before_written(stages: Sequence[Stage]) -> list[str]:
    """Return the reads of tables that no earlier stage, nor the stage itself, writes."""
    written, early = set(BY_RUNNER), []
    for stage in stages:
        early += [f"{stage.name} reads {t}" for t in stage.reads if t not in written | set(stage.writes)]
        written |= set(stage.writes)
    return early


def test_names_are_unique_and_files_follow_them() -> None:
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)
    assert all((ROOT / "twigma_spark" / "stages" / f"{name}.py").exists() for name in names)


def test_tables_read_and_written_are_declared_and_all_are_written() -> None:
    used = {table for stage in STAGES for table in (*stage.reads, *stage.writes)}
    assert used <= set(TABLES)
    assert {table for stage in STAGES for table in stage.writes} | BY_RUNNER == set(TABLES)


def test_every_table_read_is_written_by_an_earlier_stage() -> None:
    assert read_before_written(STAGES) == []


def test_a_read_of_a_later_table_is_seen() -> None:
    assert "embed reads images" in read_before_written(tuple(s for s in STAGES if s.name != "ingest"))


def test_every_column_has_a_known_type_and_a_comment() -> None:
    assert all(c.type in TYPES and c.comment for t in TABLES.values() for c in t.columns)
    assert all(set(t.key) <= set(t.column_names) for t in TABLES.values())


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.name)
def test_a_stage_declares_keys_that_exist(stage: Stage) -> None:
    Config().only((*stage.config, *stage.tuning)).fingerprint(stage.config)
    assert not set(stage.config) & set(stage.tuning)


def test_the_config_has_a_section_for_every_stage() -> None:
    assert {stage.name for stage in STAGES} <= set(Config.model_fields)


def test_jobs_are_few_and_short() -> None:
    jobs = {path.stem: path.read_text() for path in (ROOT / "jobs").glob("*.py")}
    assert set(jobs) == {"run_all", "run_stage", "train_sample_models", "sample_for_annotation"}
    assert all(text.count("\n") <= 15 for text in jobs.values())


def generated_files() -> dict[Path, str]:
    """Return what deploy/generate.py would write."""
    made: dict[Path, str] = runpy.run_path(str(ROOT / "deploy" / "generate.py"))["files"]()
    return made


def test_generated_files_follow_the_stages() -> None:
    stale = [path.name for path, text in generated_files().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "make deploy-files writes them again"


def test_every_stage_with_machines_of_its_own_is_one() -> None:
    assert {*compute.MODELS, *compute.ON_DRIVER} <= {stage.name for stage in STAGES}


def test_the_configuration_names_the_stages_in_their_order() -> None:
    assert stage_names() == [stage.name for stage in STAGES]


def test_the_report_and_the_docs_know_the_same_reasons_of_rejects() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ", (ROOT / "docs/corpora.md").read_text().partition("## Rejects")[2], re.M)
    documented = [reason for row in rows for reason in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(REASONS)


@pytest.mark.parametrize("name", ["databricks.yaml", "emr.yaml"])
def test_the_overlays_of_the_clusters_load(name: str) -> None:
    cfg = load([ROOT / "conf" / name])
    assert cfg.models.device == "cuda"
    assert cfg.of_role("posts") and cfg.of_role("natural") and cfg.of_role("art")


def test_the_performance_table_follows_the_records() -> None:
    assert table.readme() == (ROOT / "README.md").read_text(encoding="utf-8"), "python -m tests.bench.table"
    assert table.page() == table.PAGE.read_text(encoding="utf-8"), "python -m tests.bench.table"
