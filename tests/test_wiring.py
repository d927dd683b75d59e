"""Tables, configuration, jobs, deploy and STAGES agree, and every table read is written by an earlier stage."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from databricks.bundles.jobs import Job

from tests.bench import table
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config, stage_names
from twigma_spark.pipeline import STAGES
from twigma_spark.report.sections.rejects import REASONS
from twigma_spark.schedule import dependencies
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


def test_the_configuration_names_the_stages_in_their_order() -> None:
    assert stage_names() == [stage.name for stage in STAGES]


def bundle() -> dict[str, Any]:
    """Return the Databricks job as written in the bundle."""
    path = ROOT / "deploy" / "databricks" / "resources" / "twigma.yml"
    job: dict[str, Any] = yaml.safe_load(path.read_text())["resources"]["jobs"]["twigma"]
    return job


def test_the_databricks_bundle_is_valid_and_follows_the_stages() -> None:
    job = Job.from_dict(bundle())
    assert [task.task_key for task in job.tasks] == [stage.name for stage in STAGES]
    waits_for = dependencies(STAGES)
    for task in bundle()["tasks"]:
        assert tuple(d["task_key"] for d in task.get("depends_on", ())) == waits_for[task["task_key"]]
        file = ROOT / "deploy" / "databricks" / "resources" / task["spark_python_task"]["python_file"]
        assert file.resolve() == ROOT / "jobs" / "run_stage.py"
        assert task["spark_python_task"]["parameters"][0] == task["task_key"]


def test_the_report_and_the_docs_know_the_same_reasons_of_rejects() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ", (ROOT / "docs/corpora.md").read_text().partition("## Rejects")[2], re.M)
    documented = [reason for row in rows for reason in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(REASONS)


def test_a_wrong_bundle_is_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        Job.from_dict({**bundle(), "tasks": [{"task_kee": "x"}]})


def test_the_bundle_has_a_dev_and_a_prod_target() -> None:
    whole = yaml.safe_load((ROOT / "deploy" / "databricks" / "databricks.yml").read_text())
    assert whole["targets"]["dev"]["default"] and whole["targets"]["prod"]["mode"] == "production"


def emr_faults(operation: str, parameters: dict[str, Any]) -> str:
    """Return what botocore finds wrong with the parameters of an EMR call."""
    model = botocore.session.Session().get_service_model("emr").operation_model(operation)
    return str(ParamValidator().validate(parameters, model.input_shape).generate_report())


def test_the_emr_files_are_valid_and_follow_the_stages() -> None:
    cluster = json.loads((ROOT / "deploy" / "emr" / "cluster.json").read_text())
    steps = json.loads((ROOT / "deploy" / "emr" / "steps.json").read_text())
    assert emr_faults("RunJobFlow", {**cluster, **steps}) == ""
    assert [step["Name"] for step in steps["Steps"]] == [stage.name for stage in STAGES]
    for step in steps["Steps"]:
        script = step["HadoopJarStep"]["Args"].index("/opt/twigma/jobs/run_stage.py")
        assert step["HadoopJarStep"]["Args"][script + 1] == step["Name"]


def test_a_wrong_emr_step_is_refused() -> None:
    assert "Unknown parameter" in emr_faults("RunJobFlow", {"Name": "x", "Instances": {}, "Stepz": []})


@pytest.mark.parametrize("name", ["databricks.yaml", "emr.yaml"])
def test_the_overlays_of_the_clusters_load(name: str) -> None:
    cfg = load([ROOT / "conf" / name])
    assert cfg.models.device == "cuda"
    assert cfg.of_role("posts") and cfg.of_role("natural") and cfg.of_role("art")


def test_the_performance_table_follows_the_records() -> None:
    assert table.readme() == (ROOT / "README.md").read_text(encoding="utf-8"), "python -m tests.bench.table"
