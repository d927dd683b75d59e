"""Job runs of EMR Serverless, which has no GPUs: the parameters of StartJobRun for the stages that need none.

The other stages run on a cluster of emr.py in between. ${Names} are filled in by submit.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twigma_spark.config.settings import Config
from twigma_spark.deployment import compute, emr

FILES = "s3://${Bucket}/twigma/deploy"
# `make emr-env PINS=emr_serverless` makes the first; submit.py makes the other, of the overlay with the bucket's name.
ARCHIVES = {"emr_serverless.tar.gz": "environment", "conf.zip": "conf"}
PYTHON = "./environment/bin/python"
# A worker of eight vCPUs has 16 to 60 GB, in steps of four, and a disk of at most 200 GB.
STEP_GB, MOST_GB, DISK_GB = 4, 60, 200
EXECUTORS = 4
# The driver's Python computes too, such as the map of `project`; its JVM has the rest.
DRIVER_HEAP_GB = 16


def rounds(cfg: Config, waits_for: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the stages in turns, on Serverless and on a cluster, each turn with all that can run by then.

    Args:
        cfg: says which stages run models.
        waits_for: for each stage, in order, the stages that it waits for.
    """
    left, done, parts = list(waits_for), set[str](), list[dict[str, Any]]()
    on_serverless = True
    while left:
        turn = []
        for stage in left:
            if (compute.kind(cfg, stage) == "cpu") == on_serverless and done.issuperset(waits_for[stage]):
                turn.append(stage)
                done.add(stage)
        left = [stage for stage in left if stage not in done]
        if turn and on_serverless:
            parts.append({"on": "serverless", "job_runs": [job_run(cfg, stage) for stage in turn]})
        elif turn:
            parts.append({"on": "cluster", "steps": turn})
        on_serverless = not on_serverless
    return parts


def job_run(cfg: Config, stage: str) -> dict[str, Any]:
    """Return the parameters of StartJobRun for a stage: stopped after its hours, logs beside those of clusters."""
    arguments = ["stage", stage, "--conf", "conf/emr.yaml"]
    parameters = " ".join(f"--conf {key}={value}" for key, value in settings(cfg).items())
    return {
        "name": stage,
        "applicationId": "${ApplicationId}",
        "executionRoleArn": "${JobRole}",
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": f"{FILES}/run.py",
                "entryPointArguments": arguments,
                "sparkSubmitParameters": parameters,
            }
        },
        "configurationOverrides": {
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://${Bucket}/twigma/logs/"}}
        },
        "executionTimeoutMinutes": compute.limit_hours(cfg, stage) * 60,
        "tags": {"project": "twigma"},
    }


def settings(cfg: Config) -> dict[str, str]:
    """Return Spark's settings: the archive's Python, Delta, and workers of sizes that Serverless has."""
    memory = compute.executor_memory(cfg, "cpu")
    heap, overhead = (int(memory[f"spark.executor.{name}"].removesuffix("g")) for name in ("memory", "memoryOverhead"))
    whole = -(-(heap + overhead) // STEP_GB) * STEP_GB
    return {
        "spark.archives": ",".join(f"{FILES}/{name}#{folder}" for name, folder in ARCHIVES.items()),
        "spark.pyspark.python": PYTHON,
        "spark.pyspark.driver.python": PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        "spark.jars": emr.DELTA,
        **emr.DELTA_SETTINGS,
        "spark.driver.cores": str(compute.CORES),
        "spark.driver.memory": f"{DRIVER_HEAP_GB}g",
        "spark.driver.memoryOverhead": f"{MOST_GB - DRIVER_HEAP_GB}g",
        "spark.emr-serverless.driver.disk": f"{DISK_GB}g",
        "spark.executor.cores": str(compute.CORES),
        "spark.executor.memory": f"{heap}g",
        "spark.executor.memoryOverhead": f"{whole - heap}g",
        "spark.emr-serverless.executor.disk": f"{DISK_GB}g",
        "spark.dynamicAllocation.maxExecutors": str(EXECUTORS),
    }
