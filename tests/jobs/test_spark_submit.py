"""jobs/run_all.py by spark-submit on a cluster of one executor: the same images, duplicates and neighbours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT, Done
from twigma_spark.config.overlays import load
from twigma_spark.errors import ExitCode
from twigma_spark.io.lease import hold, this_process
from twigma_spark.io.lease_files import LocalLeases
from twigma_spark.io.session import SHORT, SHORT_JVM
from twigma_spark.io.tables import Store

pytestmark = pytest.mark.slow
# Those that send images and vectors to other machines; all of them in a cluster take as long as all other tests.
STAGES = ("ingest", "embed", "phash", "deduplicate", "neighbours")

# Spark's defaults are for large data: with them the test takes half as long again.
SMALL = {**SHORT, "spark.executor.extraJavaOptions": SHORT_JVM}


@pytest.mark.faults
def test_a_local_cluster_finds_the_same(done: Done, conf_in: Callable[..., Path], tmp_path: Path) -> None:
    conf = conf_in(tmp_path, Path(str(done.cfg.sample.out)))
    submit = Path(sys.executable).parent / "spark-submit"
    settings = [word for key, value in SMALL.items() for word in ("--conf", f"{key}={value}")]
    command = [str(submit), "--master", "local-cluster[1,2,2048]", *settings, str(ROOT / "jobs" / "run_all.py")]
    env = {**os.environ, "SPARK_WORKER_DIR": str(tmp_path / "work")}
    asked = [word for stage in STAGES for word in ("--only", stage)]
    ended = subprocess.run(
        [*command, "--conf", str(conf), *asked], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(STAGES)} stages run" in ended.stdout
    assert ended.stderr.count("\n") < 10, ended.stderr
    store = Store(done.store.spark, load([conf]).store.root)
    for table in ("images", "hashes"):
        columns = [name for name in store.read(table).columns if name != "content"]
        one, other = (s.read(table).select(*columns) for s in (store, done.store))
        assert one.exceptAll(other).count() == other.exceptAll(one).count() == 0, table
    # Tasks deal the images into other batches, and sums in another order differ in their last bits.
    for table, keys in (
        ("duplicates", ["image_id", "canonical_id", "tier"]),
        ("neighbours", ["image_id", "reference", "rank"]),
    ):
        one, other = (s.read(table).select(*keys, "similarity") for s in (store, done.store))
        both = one.join(other.withColumnRenamed("similarity", "there"), keys)
        assert both.count() == one.count() == other.count(), table
        assert both.where("abs(similarity - there) > 1e-5").count() == 0, table


def test_spark_submit_hands_on_the_code_of_what_failed(tmp_path: Path) -> None:
    job, submit = str(ROOT / "jobs" / "run_stage.py"), str(Path(sys.executable).parent / "spark-submit")
    root = str(tmp_path / "tables")
    command = [submit, "--master", "local[1]", job, "trends", "--set", f"store.root={root}"]
    with hold(lambda: LocalLeases(root), root, this_process("other", "run"), 0, print):
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == ExitCode.HELD, ended.stdout + ended.stderr
