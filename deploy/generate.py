"""Writes what follows from STAGES and the metrics: Databricks tasks, EMR steps, docs/stages.md, docs/metrics.md.

`make deploy-files` runs it; tests/test_wiring.py holds that the files are current.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from twigma_spark import metrics
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies

ROOT = Path(__file__).resolve().parents[1]
TASKS = "      tasks:\n"
LIBRARIES = """\
          libraries: &libraries
            - whl: ../../../dist/*.whl
            - pypi: {package: "open_clip_torch>=3.0,<4"}
            - pypi: {package: "transformers>=5.0,<6"}
            - pypi: {package: "faiss-gpu>=1.15"}
            - pypi: {package: "umap-learn>=0.5.7"}
"""
DELTA = "/usr/share/aws/delta/lib/delta-spark.jar,/usr/share/aws/delta/lib/delta-storage.jar"
START, END = "<!-- stages: make deploy-files -->\n", "<!-- end of stages -->\n"


def files() -> dict[Path, str]:
    """Return the text of each generated file by its path; around the generated part it stays as it is."""
    job, page = ROOT / "deploy/databricks/resources/twigma.yml", ROOT / "docs/stages.md"
    head = job.read_text(encoding="utf-8").partition(TASKS)[0]
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    return {
        job: head + TASKS + databricks_tasks(),
        ROOT / "deploy/emr/steps.json": emr_steps(),
        ROOT / "docs/metrics.md": metrics.format_markdown(),
        page: before + START + stage_table() + END + after,
    }


def databricks_tasks() -> str:
    """Return a task for each stage; it depends on the stages that it waits for."""
    tasks = []
    for name, needed in dependencies(STAGES).items():
        waits = "          depends_on:\n" + "".join(f"            - task_key: {other}\n" for other in needed)
        tasks.append(
            f"        - task_key: {name}\n"
            f"{waits if needed else ''}"
            "          job_cluster_key: gpu\n"
            "          max_retries: 1\n"
            "          spark_python_task:\n"
            "            python_file: ../../../jobs/run_stage.py\n"
            f'            parameters: ["{name}", "--conf", "${{workspace.file_path}}/conf/databricks.yaml"]\n'
            + ("          libraries: *libraries\n" if tasks else LIBRARIES)
        )
    return "".join(tasks)


def emr_steps() -> str:
    """Return a step for each stage; EMR runs them one after another."""
    submit = ["spark-submit", "--deploy-mode", "client", "--jars", DELTA, "/opt/twigma/jobs/run_stage.py"]
    steps = [
        {
            "Name": stage.name,
            "ActionOnFailure": "CANCEL_AND_WAIT",
            "HadoopJarStep": {
                "Jar": "command-runner.jar",
                "Args": [*submit, stage.name, "--conf", "/opt/twigma/conf/emr.yaml"],
            },
        }
        for stage in STAGES
    ]
    return json.dumps({"Steps": steps}, indent=2) + "\n"


def stage_table() -> str:
    """Return the table of stages of docs/stages.md."""
    waits_for = dependencies(STAGES)
    rows = [
        f"| `{s.name}` | {s.summary} | {_names(waits_for[s.name])} | {_names(s.reads)} | {_names(s.writes)} |\n"
        for s in STAGES
    ]
    return "\n| stage | what it does | waits for | reads | writes |\n|---|---|---|---|---|\n" + "".join(rows) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
