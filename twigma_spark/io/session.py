"""The Spark session: the platform's where there is one, else one of our own with Delta."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

ARROW = "spark.sql.execution.arrow.maxRecordsPerBatch"
DELTA = "io.delta:delta-spark_2.12:3.3.3"
# Results depend on the time zone and pandas UDFs on Arrow; paintings are older than Spark 2's calendar.
SQL = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
}
OWN = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
# On one machine a shuffle of 200 partitions and a Delta log read by 50 tasks cost more than the work.
LOCAL = {
    "spark.sql.shuffle.partitions": "8",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.files.openCostInBytes": "65536",
    # Vectors that stream through the driver come a partition at a time; six times its size is held on the way.
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "16m",
}


def open_session(
    app: str, *, master: str | None = None, log_level: str = "OFF", conf: Mapping[str, str] | None = None
) -> tuple[SparkSession, bool]:
    """Return a session and whether it was started here; only a session started here may be stopped.

    Args:
        app: name shown by Spark.
        master: such as ``local[4]``; None leaves it to spark-submit, or to ``local[*]``.
        log_level: of Spark's own log.
        conf: settings of the configuration; they win over the ones chosen here.
    """
    active = SparkSession.getActiveSession()
    spark = active or _start(app, master, log_level, conf or {})
    for key, value in {**SQL, **(conf or {} if active else {})}.items():
        spark.conf.set(key, value)
    return spark, active is None


@contextmanager
def arrow_batches(spark: SparkSession, rows: int) -> Iterator[None]:
    """Let at most `rows` rows travel to Python at once while inside; image bytes overflow Arrow's 2 GiB else."""
    before = str(spark.conf.get(ARROW))
    spark.conf.set(ARROW, rows)
    try:
        yield
    finally:
        spark.conf.set(ARROW, before)


def slots(spark: SparkSession) -> int:
    """Return how many tasks run at once; where Spark Connect does not say, the partitions of a shuffle."""
    try:
        return spark.sparkContext.defaultParallelism
    except PySparkException:
        return int(str(spark.conf.get("spark.sql.shuffle.partitions")))


@contextmanager
def watch_tasks(spark: SparkSession, tasks: int, tell: Callable[[float], None], every: float = 2.0) -> Iterator[None]:
    """Tell, every so many seconds while inside, the share of done tasks of the running stage of `tasks` tasks.

    Under Spark Connect nothing is told: only the classic driver knows its tasks.
    """
    try:
        tracker = spark.sparkContext.statusTracker()
    except PySparkException:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            running = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            share = [info.numCompletedTasks / info.numTasks for info in running if info and info.numTasks == tasks]
            if share:
                tell(max(share))

    watcher = threading.Thread(target=watch, daemon=True, name="progress")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _start(app: str, master: str | None, log_level: str, conf: Mapping[str, str]) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    settings = {**OWN, **SQL}
    launched_by_submit = "PYSPARK_GATEWAY_PORT" in os.environ
    if not launched_by_submit and not any((Path(pyspark.__file__).parent / "jars").glob("delta-spark_2.12-*.jar")):
        settings["spark.jars.packages"] = DELTA
    builder = SparkSession.builder.appName(app)
    if master:
        builder = builder.master(master)
    for key, value in {**settings, **conf}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel(log_level)
    if str(spark.conf.get("spark.master", "")).startswith("local"):
        for key, value in {k: v for k, v in LOCAL.items() if k not in conf}.items():
            spark.conf.set(key, value)
    return spark
