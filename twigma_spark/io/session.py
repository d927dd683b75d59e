"""The Spark session: the platform's where there is one, else one of our own with Delta."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from twigma_spark.io import worker_daemon
from twigma_spark.io.spark_versions import find_delta, silence_accumulators

ARROW = "spark.sql.execution.arrow.maxRecordsPerBatch"
PARQUET = "spark.sql.parquet.columnarReaderBatchSize"
SPLIT = "spark.sql.files.maxPartitionBytes"
# Parquet looks at the limit after so many rows only.
PAGE_ROWS = ("parquet.page.row.count.limit", "parquet.page.size.row.check.min")
# Of a file with pictures that one task reads, where it reads no pictures.
NARROW_SPLIT = 1 << 30
# Results depend on it.
RESULTS = {"spark.sql.session.timeZone": "UTC"}
# pandas UDFs depend on Arrow; paintings are older than Spark 2's calendar.
SQL = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    # Of a longer list Parquet gets the least and the greatest value alone (`transforms.columns.is_one_of`).
    "spark.sql.parquet.pushdown.inFilterThreshold": "128",
}
OWN = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
PARTITIONS, DEFAULT_PARTITIONS = "spark.sql.shuffle.partitions", 200
# On one machine a shuffle of 200 partitions and a Delta log read by 50 tasks cost more than the work.
LOCAL = {
    PARTITIONS: "8",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.files.openCostInBytes": "65536",
    # Vectors that stream through the driver come a partition at a time; six times its size is held on the way.
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "16m",
}


# For a session of seconds or minutes on one machine. Whole-stage code is compiled longer than ten thousand rows take,
# and a second partition of a shuffle costs a task and holds nothing.
SHORT = {
    PARTITIONS: "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
# Of the same, for the JVM: the second compiler takes half the processor and pays back after minutes. Alone, the first
# one fills its 48 MB of code and then runs on uncompiled. Threads that collect garbage side by side only wait for each
# other on two cores, and nearly all objects are plans of a moment: half of the heap for new ones saves collections.
# An OutOfMemoryError in a writer's thread else leaves the session hanging.
SHORT_JVM = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:NewRatio=1 -XX:+ExitOnOutOfMemoryError"
)
JVM_OPTIONS = "spark.driver.extraJavaOptions"
# Each sort and each aggregation takes a page of the heap for its rows, which Spark makes as large as the heap lets it:
# 64 MB of 4 GB, zeroed for a few rows and then collected. A row that is longer gets a page of its own.
PAGE = {"spark.buffer.pageSize": "1m"}
DAEMON = "spark.python.daemon.module"
REMOTE = "SPARK_REMOTE"  # Spark's own name for the address of a Spark Connect server
# Spark sets it for functions of Arrow batches and not for others, and starts a daemon for each environment.
ONE_ENVIRONMENT = {"spark.executorEnv.SPARK_SIMPLIFIED_TRACEBACK": "1"}
# What nearly every function that is sent to a Python worker needs. Spark starts workers anew all the time (after a
# minute without work, or where rows are left unread), and each would load pandas, SciPy and the rest again.
WORKER_IMPORTS = (
    "pyspark.sql.pandas.serializers",
    "twigma_spark.estimators.kmeans",
    "twigma_spark.transforms.inference",
    "twigma_spark.transforms.images",
)


def open_session(
    app: str,
    *,
    master: str | None = None,
    log_level: str = "OFF",
    conf: Mapping[str, str] | None = None,
    short: bool = False,
    worker_imports: Iterable[str] = (),
) -> tuple[SparkSession, bool]:
    """Return a session and whether it was started here; only a session started here may be stopped.

    Args:
        app: name shown by Spark.
        master: such as ``local[4]``; None leaves it to spark-submit, or to ``local[*]``. Where SPARK_REMOTE names a
            Spark Connect server, the session is one of that server, whose own settings its operator chose.
        log_level: of Spark's own log.
        conf: settings of the configuration; they win over the ones chosen here.
        short: take the settings for small data (`sizes`; on a local master SHORT, SHORT_JVM and PAGE).
        worker_imports: modules that the Python workers of a short session have loaded when they start, beside
            WORKER_IMPORTS.
    """
    # Where the JVM has ended, py4j and PySpark's server of accumulators print traces; who made a call gets its error.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_of_py4j)  # which logs some of them by the root
    silence_accumulators()
    active = SparkSession.getActiveSession()
    if active is None and REMOTE in os.environ:
        spark, settings = SparkSession.builder.getOrCreate(), conf or {}
        _set_where_possible(spark, sizes(is_local(spark), short, slots(spark)))
    else:
        spark = active or _start(app, master, log_level, conf or {}, short, tuple(worker_imports))
        settings = conf or {} if active else {}
    _set_where_possible(spark, SQL)
    for key, value in {**RESULTS, **settings}.items():
        spark.conf.set(key, value)
    return spark, active is None


def _set_where_possible(spark: SparkSession, settings: Mapping[str, str]) -> None:
    """Set what the platform lets be set: serverless compute of Databricks refuses most settings."""
    for key, value in settings.items():
        with suppress(PySparkException):
            spark.conf.set(key, value)


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    """Return whether a record is not py4j's of a call on a JVM that has ended."""
    return record.getMessage() != "Exception while sending command."


def is_local(spark: SparkSession) -> bool:
    """Return whether driver and executors are one process, or those of a Spark Connect server are."""
    return (setting(spark, "spark.master") or "").startswith("local")


def setting(spark: SparkSession, key: str) -> str | None:
    """Return a setting of the session, or None where it has none or does not give it."""
    try:
        return spark.conf.get(key, None)
    except PySparkException:
        return None


def _effective(spark: SparkSession, key: str) -> str | None:
    """Return a setting that Spark knows, its default where it is not set, or None where the platform gives none."""
    try:
        return str(spark.conf.get(key))
    except PySparkException:
        return None


def has_sessions(spark: SparkSession) -> bool:
    """Return whether further sessions can be had that share this one's executors; not so under Spark Connect 3.5."""
    try:
        spark.newSession()
    except (PySparkException, AttributeError):
        return False
    return True


def new_session(spark: SparkSession, keys: Iterable[str] = ()) -> SparkSession:
    """Return a session that starts with the settings of `spark` and shares its executors; later changes are its own.

    Args:
        spark: the session.
        keys: settings to take over beside those of this module.
    """
    other = spark.newSession()
    for key in (*RESULTS, *SQL, *LOCAL, *SHORT, ARROW, *keys):
        # Settings of the context itself, such as its memory, cannot be set again and need not be. Spark knows no keys
        # of Delta, so it cannot be asked which those are.
        if (value := spark.conf.get(key, None)) is not None:
            with suppress(PySparkException):
                other.conf.set(key, value)
    return other


def is_alive(spark: SparkSession) -> bool:
    """Return whether Spark answers; its JVM ends where its memory does (-XX:+ExitOnOutOfMemoryError)."""
    try:
        _ = spark.version
    except Exception:  # py4j raises its own errors, the socket's, and more
        return False
    return True


def cancel_jobs(spark: SparkSession) -> None:
    """End all running jobs, so that the threads that wait for them end; under Spark Connect the server ends them."""
    with suppress(PySparkException):
        spark.sparkContext.cancelAllJobs()


def name_jobs(spark: SparkSession, group: str, description: str) -> None:
    """Name the jobs of this thread, as the Spark UI and its event log show them; Spark Connect has no such names."""
    with suppress(PySparkException):
        spark.sparkContext.setJobGroup(group, description)


def warm_up(spark: SparkSession) -> None:
    """Start the Python workers beside what comes next, where they have modules to load first."""
    if setting(spark, DAEMON) == worker_daemon.__name__:
        # One task: the others are for what comes next.
        plan = spark.range(0, 1, 1, 1).mapInArrow(lambda batches: batches, "id bigint")

        def start() -> None:
            with suppress(Exception):  # a session that ends before the workers are there
                plan.count()

        threading.Thread(target=start, daemon=True, name="warm-up").start()


@contextmanager
def picture_batches(spark: SparkSession, rows: int) -> Iterator[None]:
    """Let at most `rows` rows be decoded from Parquet, and travel to Python, at once while inside.

    Bytes of images overflow Arrow's 2 GiB else, and a batch of Parquet's 4,096 rows a small heap.
    """
    with _setting(spark, PARQUET, rows), _setting(spark, ARROW, rows):
        yield


@contextmanager
def narrow_reads(spark: SparkSession) -> Iterator[None]:
    """Let a task read much larger parts of files while inside, where the few columns that are read are small.

    Spark parts files by all their bytes, so of the table `images` by those of the pictures: 128 MB of them are some
    hundred rows, and a task costs more than to read these.
    """
    with _setting(spark, SPLIT, NARROW_SPLIT):
        yield


@contextmanager
def small_pages(spark: SparkSession, rows: int | None) -> Iterator[None]:
    """Let a page of Parquet hold at most `rows` rows while inside; None leaves pages as large as they are."""
    if rows is None:
        yield
        return
    _set_where_possible(spark, dict.fromkeys(PAGE_ROWS, str(rows)))
    try:
        yield
    finally:
        for key in PAGE_ROWS:
            with suppress(PySparkException):
                spark.conf.unset(key)


@contextmanager
def changed_settings(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Set what the platform lets be set, and put it back after; keys of Delta too, of which Spark knows no default."""
    before = {key: setting(spark, key) for key in settings}
    _set_where_possible(spark, settings)
    try:
        yield
    finally:
        for key, old in before.items():
            with suppress(PySparkException):
                spark.conf.unset(key) if old is None else spark.conf.set(key, old)


@contextmanager
def _setting(spark: SparkSession, key: str, value: int) -> Iterator[None]:
    before = _effective(spark, key)
    _set_where_possible(spark, {key: str(value)})
    try:
        yield
    finally:
        if before is not None:
            _set_where_possible(spark, {key: before})


def slots(spark: SparkSession) -> int:
    """Return how many tasks run at once; where Spark Connect does not say, the partitions of a shuffle."""
    try:
        return spark.sparkContext.defaultParallelism
    except PySparkException:
        partitions = _effective(spark, PARTITIONS) or ""
        return int(partitions) if partitions.isdecimal() else DEFAULT_PARTITIONS  # Databricks may say "auto"


def task_heap(spark: SparkSession) -> int | None:
    """Return the bytes of the JVM's heap that there are for each of the tasks that run at once; None where unknown."""
    try:
        if is_local(spark):
            heap = int(spark._jvm.java.lang.Runtime.getRuntime().maxMemory())  # type: ignore[union-attr]
            return heap // int(slots(spark))
        memory, cores, cpus = (
            str(spark.conf.get(f"spark.{key}", "1")) for key in ("executor.memory", "executor.cores", "task.cpus")
        )
    except (PySparkException, AttributeError):
        return None
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", memory.strip().lower())
    if match is None or not match[2]:
        return None
    unit = 1 << 10 * " kmgt".index(match[2])
    return int(match[1]) * unit // max(int(cores) // int(cpus), 1)


def glob_files(spark: SparkSession, pattern: str) -> Sequence[Any]:
    """Return Hadoop's FileStatus of each file and folder that a pattern names; none under Spark Connect.

    Names that Spark hides are there too. Each stays in the JVM until it is taken.
    """
    try:
        jvm, conf = spark._jvm, spark._jsparkSession.sessionState().newHadoopConf()
    except (PySparkException, AttributeError):
        return []
    path = jvm.org.apache.hadoop.fs.Path(pattern)  # type: ignore[union-attr]
    return path.getFileSystem(conf).globStatus(path) or []


def has_hadoop(spark: SparkSession) -> bool:
    """Return whether Hadoop's file systems can be asked from here; not so under Spark Connect."""
    try:
        return spark._jvm is not None
    except (PySparkException, AttributeError):
        return False


def list_tree(spark: SparkSession, path: str) -> list[tuple[str, int, int]]:
    """Return path, bytes and time of the last change of all files at and below a path, hidden ones among them.

    A storage of objects is asked for a thousand and more at once, and for no file by itself. Only where `has_hadoop`.

    Raises:
        FileNotFoundError: there is nothing.
    """
    jvm, conf = spark._jvm, spark._jsparkSession.sessionState().newHadoopConf()
    where = jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    try:
        remaining = where.getFileSystem(conf).listFiles(where, True)
    except Exception as error:  # py4j's own, with the trace of Java
        if "FileNotFoundException" in str(getattr(error, "java_exception", "")):
            raise FileNotFoundError(path) from error
        raise
    files = []
    while remaining.hasNext():
        each = remaining.next()
        files.append((str(each.getPath().toString()), int(each.getLen()), int(each.getModificationTime())))
    return files


def path_exists(spark: SparkSession, path: str) -> bool | None:
    """Return whether there is a file or folder at a path, by Hadoop; None under Spark Connect, which does not say.

    Raises:
        OSError: the storage is unknown, does not answer, or refuses.
    """
    try:
        jvm, conf = spark._jvm, spark._jsparkSession.sessionState().newHadoopConf()
    except (PySparkException, AttributeError):
        return None
    where = jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    try:
        return bool(where.getFileSystem(conf).exists(where))
    except Exception as error:  # py4j's own, with the trace of Java
        raise OSError(str(getattr(error, "java_exception", error)).splitlines()[0][:300]) from error


@contextmanager
def watch_tasks(spark: SparkSession, tasks: int, tell: Callable[[float], None], every: float = 2.0) -> Iterator[None]:
    """Tell, every so many seconds while inside, the share of done tasks of the running stage of `tasks` tasks.

    Under Spark Connect nothing is shown: only the classic driver knows its tasks.
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


def _start(
    app: str, master: str | None, log_level: str, conf: Mapping[str, str], short: bool, imports: tuple[str, ...]
) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    # The C library keeps what is freed in up to eight heaps a core, half a gigabyte of a JVM on two cores. YARN gives
    # its processes four in all.
    os.environ.setdefault("MALLOC_ARENA_MAX", str(os.cpu_count() or 1))
    settings = {**OWN, **SQL}
    launched_by_submit = "PYSPARK_GATEWAY_PORT" in os.environ
    if not launched_by_submit and not any((Path(pyspark.__file__).parent / "jars").glob("delta-spark_*.jar")):
        settings["spark.jars.packages"] = find_delta(pyspark.__version__).package
    if short and (master or "local").startswith("local"):
        settings |= {JVM_OPTIONS: SHORT_JVM, **PAGE}
        if not launched_by_submit:
            settings |= {DAEMON: worker_daemon.__name__, **ONE_ENVIRONMENT}
            os.environ[worker_daemon.IMPORTS] = ",".join((*WORKER_IMPORTS, *imports))
    builder = SparkSession.builder.appName(app)
    if master:
        builder = builder.master(master)
    for key, value in {**settings, **conf}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel(log_level)
    for key, value in sizes(is_local(spark), short, slots(spark)).items():
        if key not in conf:
            spark.conf.set(key, value)
    return spark


def sizes(local: bool, short: bool, slots: int) -> dict[str, str]:
    """Return settings of the session that fit the size of the data and the tasks that run at once.

    Args:
        local: whether driver and executors are one process.
        short: whether there is little data; Spark's own 200 partitions then hold next to nothing each.
        slots: tasks that run at once. Adaptive execution puts partitions of a shuffle together and makes no more.
    """
    if local:
        return {**LOCAL, **(SHORT if short else {})}
    if short:
        return {**LOCAL, PARTITIONS: str(max(int(LOCAL[PARTITIONS]), slots))}
    return {PARTITIONS: str(slots)} if slots > DEFAULT_PARTITIONS else {}
