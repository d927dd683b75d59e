"""A driver that is killed once in each stage: the next runs end with the tables of a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.same_tables import OTHER_EACH_TIME, differences
from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES
from twigma_spark.stages.stage import Stage

pytestmark = pytest.mark.faults
TWIGMA = str(Path(sys.executable).parent / "twigma")
# Nothing is configured for them in the sample; the report is one row, written at once.
NOTHING_TO_WRITE = {"concordance", "baselines", "report"}
SECONDS = 900


def start(conf: Path) -> subprocess.Popen[str]:
    command = [TWIGMA, "run", "--conf", str(conf), "--set", "run.parallel=1"]
    return subprocess.Popen(
        command, cwd=conf.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def files_of(stage: Stage, root: Path) -> set[Path]:
    """Return the files that a stage alone writes into the store, its staging tables' among them."""
    shared = {name for name in stage.writes if TABLES[name].mode == "by_stage"}
    patterns = [f"{name}/**/*" for name in stage.writes if name not in shared]
    patterns += [f"{name}/stage={stage.name}/*" for name in shared] + [f"_staging_{stage.name}_*/**/*"]
    return {path for pattern in patterns for path in root.glob(pattern)}


def kill_at_first_file(stages: list[Stage], conf: Path, root: Path, seconds: float) -> Stage | None:
    """Run, kill the driver some seconds after one of the stages writes, and return which; None where the run ended."""
    before, run = {stage.name: files_of(stage, root) for stage in stages}, start(conf)
    end, writing = time.monotonic() + SECONDS, None
    while writing is None and run.poll() is None:
        assert time.monotonic() < end, "no stage wrote anything"
        time.sleep(0.02)
        writing = next((stage for stage in stages if files_of(stage, root) - before[stage.name]), None)
    if writing is not None:
        time.sleep(seconds)
    if killed := run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
    output, _ = run.communicate()
    assert killed or run.returncode == 0, output
    return writing if killed else None


def test_a_driver_killed_in_each_stage_changes_no_table(
    spark: SparkSession, conf_in: Callable[..., Path], tmp_path: Path
) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
    conf = conf_in(undisturbed)
    run = start(conf)
    output, _ = run.communicate(timeout=3 * SECONDS)
    assert run.returncode == 0, output
    other, dice = conf_in(disturbed, undisturbed / "sample"), random.Random(0)
    root = Path(load([other]).store.root)
    left, killed = list(pipeline.STAGES), []
    while (stage := kill_at_first_file(left, other, root, dice.uniform(0, 0.5))) is not None:
        killed.append(stage.name)
        # Those before it had nothing to write.
        left = left[left.index(stage) + 1 :]
    assert {stage.name for stage in pipeline.STAGES} - set(killed) <= NOTHING_TO_WRITE
    last = start(other)
    output, _ = last.communicate(timeout=3 * SECONDS)
    assert last.returncode == 0, output
    stores = [Store(spark, load([each]).store.root) for each in (conf, other)]
    assert not list(root.glob("_staging_*"))
    for name in TABLES.keys() - OTHER_EACH_TIME:
        assert not differences(*stores, name), name
