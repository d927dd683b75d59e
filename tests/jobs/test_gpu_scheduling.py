"""Each task takes the GPU that Spark gave it: shown on a small cluster with made-up GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

DISCOVERY = """#!/bin/sh
echo '{"name": "gpu", "addresses": ["0", "1"]}'
"""
JOB = """
import json, sys, time
from twigma_spark.io.session import open_session
from twigma_spark.transforms.inference import task_device

spark, _ = open_session("gpus")

def devices(batches):
    import pandas as pd
    from pyspark import TaskContext
    for batch in batches:
        pass
    time.sleep(3)  # so that no task is done before the other begins
    context = TaskContext.get()
    given = context.resources()["gpu"].addresses[0]
    yield pd.DataFrame({"device": [task_device("cuda")], "given": [given]})

rows = spark.range(0, 8, 1, 4).mapInPandas(devices, "device STRING, given STRING").collect()
print("SEEN " + json.dumps([list(row) for row in rows]))
spark.stop()
"""


def test_each_task_sees_its_own_gpu(tmp_path: Path) -> None:
    script = tmp_path / "gpus.sh"
    script.write_text(DISCOVERY)
    script.chmod(0o755)
    job = tmp_path / "job.py"
    job.write_text(JOB)
    settings = {
        "spark.worker.resource.gpu.amount": "2",
        "spark.worker.resource.gpu.discoveryScript": str(script),
        "spark.executor.resource.gpu.amount": "2",
        "spark.task.resource.gpu.amount": "1",
    }
    flags = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    submit = str(Path(sys.executable).parent / "spark-submit")
    command = [submit, "--master", "local-cluster[1,2,1024]", *flags, str(job)]
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    env |= {"PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(tmp_path / "work")}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    seen = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("SEEN "))[5:])
    assert len(seen) == 4
    assert all(device == f"cuda:{given}" for device, given in seen)
    assert {device for device, _ in seen} == {"cuda:0", "cuda:1"}
