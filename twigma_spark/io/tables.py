"""The store: declared Delta tables in a folder, an object store or a catalog schema."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from twigma_spark.errors import ConfigError, SchemaError, StoreError
from twigma_spark.io import arrow, ddl
from twigma_spark.io.delta_log import LOG, Commit, commits
from twigma_spark.io.frames import count_rows
from twigma_spark.io.lease import Lease
from twigma_spark.io.session import changed_settings, small_pages
from twigma_spark.schemas import OLDER_COLUMNS, TABLES, Table

CATALOG = re.compile(r"^\w+\.\w+$")
# How Spark and Delta say that a table is not there.
MISSING = ("_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE", "is not a Delta table", "DELTA_TABLE_ONLY_OPERATION")
ALL = "true"  # the condition that every row meets
# The property of a table that a DELETE may leave files with rows that are only marked as deleted.
MARKS_ROWS = "delta.feature.deletionVectors"
# How Delta says that another writer was first.
CONFLICT = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED", "ConcurrentModificationException")
# How Delta says that it is to keep less than a table says, which a session must allow.
TOO_SHORT = "retention"
# How Delta says that a row breaks a CHECK.
VIOLATED = "DELTA_VIOLATE_CONSTRAINT"
# Tasks that list the folders of a table before its old files are removed: in an object store, which answers slowly,
# and in a folder, where a task takes longer than a list.
LISTING_TASKS, LISTING_TASKS_OF_FOLDERS = 32, 2
# Tables whose old files are removed side by side.
VACUUMS = 4
# Ids that a DELETE lists one by one, for all columns of a table at once; a MERGE is made for each column.
FEW_IDS = 1000
P = ParamSpec("P")
R = TypeVar("R")


def is_folder(root: str) -> bool:
    """Return whether a root is a folder that Python can list, and neither a URL nor a schema of a catalog."""
    return not CATALOG.match(root) and "://" not in root


def is_missing(error: BaseException) -> bool:
    """Return whether Spark or Delta says that there is no such table."""
    return any(sign in str(error) for sign in MISSING)


def is_conflict(error: BaseException) -> bool:
    """Return whether another writer's commit came between; the same write may be tried again."""
    return not isinstance(error, SchemaError) and any(sign in str(error) for sign in CONFLICT)


def on_conflict(write: Callable[P, R]) -> Callable[P, R]:
    """Return `write`, tried again where another writer's commit came between; each try sees what that one wrote."""
    tries, pause = stop_after_attempt(8), wait_random_exponential(max=20)
    return retry(retry=retry_if_exception(is_conflict), stop=tries, wait=pause, reraise=True)(write)


@dataclass(frozen=True)
class Listed:
    """What the store says of one table."""

    name: str
    rows: int
    version: int
    comment: str


@dataclass(frozen=True)
class State:
    """A table's Delta version and the time of its last commit; -1 and None where there is no table."""

    version: int
    committed: datetime | None

    @property
    def stamp(self) -> str:
        """Version and time in one; unlike the version, no other table ever has it."""
        return "none" if self.committed is None else f"{self.version}@{self.committed.isoformat()}"


class Store:
    """The declared tables under one root; every read and write of a table goes through here.

    Args:
        spark: the session.
        root: a folder, a URL such as ``s3://bucket/path``, or ``catalog.schema``.
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        if not root or "`" in root:
            raise ConfigError(f"store.root must be a folder, a URL or catalog.schema. Got {root!r}.")
        self.spark = spark
        self.in_catalog = bool(CATALOG.match(root))
        self.root = root if self.in_catalog or "://" in root else str(Path(root).absolute())
        # Shared by the stores of all sessions of a run.
        self._counted: dict[tuple[str, str], int] = {}
        self._created: set[str] = set()
        self._declared: set[str] = set()
        self._creating = threading.Lock()
        # Checked before each write; None where nobody but this process can write here, as in tests.
        self.lease: Lease | None = None

    def in_session(self, spark: SparkSession) -> Store:
        """Return the same store read and written through another session; what is known of its tables is shared."""
        other = copy(self)
        other.spark = spark
        return other

    def path(self, name: str) -> str:
        """Return where the table's files are, in a store that is a folder or a URL."""
        return f"{self.root.rstrip('/')}/{name}"

    def location(self, name: str) -> str:
        """Return what Spark SQL calls the table: catalog.schema.table, or delta.`path`."""
        return ddl.quote_name(f"{self.root}.{name}") if self.in_catalog else f"delta.`{self.path(name)}`"

    def folder(self, name: str) -> Path | None:
        """Return the table's folder where the store is one that Python can list, else None."""
        return Path(self.path(name)) if is_folder(self.root) else None

    def exists(self, name: str) -> bool:
        """Return whether the table was created."""
        return self._table(name) is not None

    def has_older(self, table: Table) -> bool:
        """Return whether there is a table as an older version wrote it under another name; others' tables are none."""
        there = self._table(table.was) if table.was else None
        own = {"corpus", *(OLDER_COLUMNS.get(name, name) for name in table.ids)}
        return there is not None and own <= set(there.columns)

    def read(self, name: str) -> DataFrame:
        """Return the table's rows; a table that does not exist yet has none.

        A column that a table of an older version does not have is null, or is read under its older name.

        Raises:
            SchemaError: where an older version wrote the table under another name.
        """
        there = self._table(name)
        if there is None:
            if self.has_older(TABLES[name]):
                raise SchemaError(
                    f"the store must have the table '{name}'. Got '{TABLES[name].was}', as older versions call it; "
                    "the stage ingest makes it anew: twigma stage ingest, with the same --conf."
                )
            return arrow.local_frame(self.spark, [], TABLES[name].schema)
        return there.select(*(_column(field, there.columns) for field in TABLES[name].schema.fields))

    def read_version(self, name: str, version: int) -> DataFrame:
        """Return the table's rows as they were in a Delta version; where that was vacuumed, Spark fails at reading."""
        query = f"SELECT * FROM {self.location(name)} VERSION AS OF {int(version)}"  # noqa: S608 - both are ours
        return self.spark.sql(query)

    def count(self, name: str) -> int:
        """Return the number of rows, from Delta's own statistics where it has them."""
        there = self._table(name)
        return 0 if there is None else count_rows(there)

    def count_once(self, name: str, state: State) -> int:
        """Return the number of rows of a table in this state; one that was counted or written here is not counted."""
        known = self._known_rows(name, state)
        if known is None:
            known = self._counted[name, state.stamp] = self.count(name)
        return known

    def _known_rows(self, name: str, state: State) -> int | None:
        if state.version == 0 and name in self._created:
            return 0
        return self._counted.get((name, state.stamp))

    def version(self, name: str) -> int:
        """Return the table's Delta version, or -1 where it does not exist."""
        return self.state(name).version

    def state(self, name: str) -> State:
        """Return the table's version and time of its last commit."""
        last = next(self._commits(name, 1), None)
        return State(-1, None) if last is None else State(last.version, last.committed)

    def _commits(self, name: str, at_most: int) -> Iterator[Commit]:
        """Yield the table's newest commits, newest first: from its log in a folder, else from Delta's history."""
        if (folder := self.folder(name)) is not None:
            yield from commits(folder, at_most)
            return
        try:
            rows = self.spark.sql(f"DESCRIBE HISTORY {self.location(name)} LIMIT {at_most}").collect()
        except AnalysisException as error:
            if is_missing(error):
                return
            raise
        for row in rows:
            written = (row["operationMetrics"] or {}).get("numOutputRows")
            rows_out = None if written is None else int(written)
            yield Commit(int(row["version"]), row["timestamp"], rows_out, row["userMetadata"])

    @on_conflict
    def create(self, table: Table) -> None:
        """Create the table as declared, where it does not exist."""
        if self.in_catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {ddl.quote_name(self.root)}")
        self.spark.sql(ddl.create(table, self.location(table.name)))

    def write(self, name: str, frame: DataFrame, *, stage: str, again: bool = False, stored: bool = False) -> int:
        """Return the number of rows written; the table is created first where it is missing.

        Args:
            name: a declared table.
            frame: fits the declaration, in any order of columns.
            stage: the writing stage; `by_stage` tables keep the rows of the others.
            again: a further part of the same run, which is added to the part before.
            stored: the frame is read from a staging table, so that its range of keys is found at little cost.

        Raises:
            SchemaError: before anything is written, where the frame does not fit.
        """
        table = TABLES[name]
        fitted = fit(frame, table)
        was_there = self._ready(table)
        scope = _scope(table, stage)
        if not was_there:
            # There is nothing to replace or to compare with, and Delta need not read the table to find that out.
            first = fitted.dropDuplicates(list(table.key)) if table.mode == "merge" else fitted
            put = partial(self._add, name, first, None)
        elif table.mode == "merge" or (again and scope is not None):
            put = partial(self._insert_missing, table, fitted, ranged=stored)
        elif scope is not None and self._never_written(table, stage):
            # A commit that replaces rows takes twice what one takes that adds them.
            put = partial(self._add, name, fitted, None)
        else:
            put = partial(self._add, name, fitted, scope)
        try:
            return put()
        except Exception as error:
            if VIOLATED in str(error) and self._renew_checks(table):
                return put()
            raise

    def clear(self, name: str, *, stage: str) -> int:
        """Return 0, the rows of a write without any: what `stage` wrote before is removed, a missing table created."""
        table, scope = TABLES[name], _scope(TABLES[name], stage)
        if self._ready(table) and scope is not None and not self._never_written(table, stage):
            self._delete(name, scope)
        return 0

    def delete(self, name: str, ids: Mapping[str, Sequence[str]]) -> int:
        """Return how many rows were deleted: those in which one of some SQL expressions is one of its ids.

        Args:
            name: of a table; one that is missing has none.
            ids: of each expression of the table's columns, such as ``image_id``, each id once.
        """
        ids_by_column = {expression: each for expression, each in ids.items() if each}
        if not ids_by_column or not self.exists(name):
            return 0
        if sum(map(len, ids_by_column.values())) <= FEW_IDS:
            condition = " OR ".join(
                f"{expression} IN ({', '.join(map(ddl.text, each))})" for expression, each in ids_by_column.items()
            )
            return self._delete(name, condition)
        return sum(self._delete_ids(name, expression, each) for expression, each in ids_by_column.items())

    @on_conflict
    def _delete_ids(self, name: str, expression: str, ids: Sequence[str]) -> int:
        self._check_lease()
        view = f"_purged_{uuid.uuid4().hex}"
        arrow.local_frame(self.spark, [(each,) for each in ids], "purged_id STRING").createOrReplaceTempView(view)
        try:
            # Delta's DELETE takes no subquery.
            done = self.spark.sql(
                f"MERGE INTO {self.location(name)} USING {view} ON {expression} = purged_id WHEN MATCHED THEN DELETE"
            )
            return int(done.collect()[0]["num_deleted_rows"])
        finally:
            self.spark.catalog.dropTempView(view)

    def delete_all(self, name: str, condition: str = "true") -> int:
        """Return how many rows were deleted: those for which a condition holds; a missing table has none."""
        if not self.exists(name):
            return 0
        n = count_rows(self.read(name).where(condition))
        if n:
            self._delete(name, condition)
        return n

    def vacuum(self, names: Collection[str], hours: int) -> list[str]:
        """Remove the files of tables that no version of the last hours needs; 0 removes all that the newest does not.

        Fewer than Delta's 168 break readers of a table that began before.

        Returns:
            Tables of which only files older than their own retention (delta.deletedFileRetentionDuration) were
            removed, since that is more hours and the platform lets no session ask for less.
        """
        # Delta lists a table's folders in as many tasks as the second says, 10,000 by default; ours have few folders.
        wanted = {
            "spark.databricks.delta.retentionDurationCheck.enabled": "false",
            # Two commits that say when it began and ended are a third of its time.
            "spark.databricks.delta.vacuum.logging.enabled": "false",
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(
                LISTING_TASKS_OF_FOLDERS if is_folder(self.root) else LISTING_TASKS
            ),
        }
        with changed_settings(self.spark, wanted), ThreadPoolExecutor(VACUUMS) as pool:
            removed = pool.map(partial(self._vacuum, hours=hours), names)
            return [name for name, whole in zip(names, removed, strict=True) if not whole]

    def _vacuum(self, name: str, hours: int) -> bool:
        """Return whether the files were removed that no version of the last hours needs, and not only older ones."""
        query = f"VACUUM {self.location(name)}"
        try:
            self.spark.sql(f"{query} RETAIN {int(hours)} HOURS")
        except PySparkException as error:
            if TOO_SHORT not in str(error).lower():
                raise
            self.spark.sql(query)
            return False
        return True

    @on_conflict
    def reorganize(self, name: str) -> bool:
        """Return whether all files of a table are without the rows that were deleted.

        Where a table has deletion vectors, a DELETE only marks rows; the files that hold such are written anew (REORG).
        False where this Spark has no REORG. The old files are left for `vacuum`.
        """
        if MARKS_ROWS not in self._properties(name):
            return True
        self._check_lease()
        try:
            with self._pages_of(name):
                self.spark.sql(f"REORG TABLE {self.location(name)} APPLY (PURGE)").collect()
        except ParseException:
            return False
        return True

    def optimize(self, name: str) -> tuple[int, int]:
        """Return how many small files were put together, and into how many; their rows stay as they are."""
        self._check_lease()
        with self._pages_of(name):
            done = self.spark.sql(f"OPTIMIZE {self.location(name)}").select("metrics.*").collect()
        return sum(row["numFilesRemoved"] for row in done), sum(row["numFilesAdded"] for row in done)

    def _never_written(self, table: Table, stage: str) -> bool:
        """Return whether the files show that there is nothing that a write by `stage` would replace."""
        folder = self.folder(table.name)
        if folder is None:
            return False
        if self.state(table.name).version == 0:
            return True
        stages = {part.name for part in folder.glob("stage=*")} if table.partition_by == ("stage",) else set()
        # A table of an older version is not partitioned, and has no such folders.
        return bool(stages) and f"stage={stage}" not in stages and not any(folder.glob("*.parquet"))

    def listing(self) -> list[Listed]:
        """Return what is in the store, in the order of the declarations."""
        there = [table for table in TABLES.values() if self.exists(table.name)]
        return [Listed(x.name, self.count(x.name), self.version(x.name), x.comment) for x in there]

    def _table(self, name: str) -> DataFrame | None:
        """Return the table as it is stored, or None where it is missing; no job runs, unlike for its history."""
        folder = self.folder(name)
        if folder is not None and not (folder / LOG).is_dir():
            return None
        try:
            there = self.spark.read.table(self.location(name))
            _ = there.schema  # under Spark Connect only this asks the server
        except AnalysisException as error:
            if is_missing(error):
                return None
            raise
        return there

    @on_conflict
    def _add(self, name: str, frame: DataFrame, scope: str | None) -> int:
        """Return the number of rows added; those within `scope` are replaced."""
        return self._commit(name, frame, scope)

    def _commit(self, name: str, frame: DataFrame, scope: str | None = None) -> int:
        """Return the number of rows added in one try; those within `scope` are replaced.

        Raises:
            StoreError: Delta took the commit, and the table's log does not have it.
        """
        self._check_lease()
        token, before = uuid.uuid4().hex, self.state(name)  # the token tells our commit from one of another run
        writer = frame.writeTo(self.location(name)).option("userMetadata", token)
        with self._pages_of(name):
            writer.append() if scope is None else writer.overwrite(F.expr(scope))
        own = next((commit for commit in self._commits(name, 100) if commit.token == token), None)
        if own is not None:
            if own.version == before.version + 1:
                self._count_written(name, before, own, scope)
            return own.rows or 0
        # Delta makes no commit where nothing changes.
        if self.version(name) == before.version or frame.isEmpty():
            return 0
        raise StoreError(
            f"table '{name}' must keep each commit. Got one of {self.root!r} that is not in its log: another run "
            "wrote at the same time, on a storage where Delta cannot keep two apart. Let only one run at a time write "
            "there (docs/operations.md); then run again: the stage computes what is missing."
        )

    def _count_written(self, name: str, before: State, own: Commit, scope: str | None) -> None:
        """Remember how many rows the table has after a commit, where what was there before is known or gone."""
        known = 0 if scope == ALL else self._known_rows(name, before)
        if scope in (None, ALL) and known is not None and own.rows is not None:
            self._counted[name, State(own.version, own.committed).stamp] = known + own.rows

    @on_conflict
    def _insert_missing(self, table: Table, frame: DataFrame, ranged: bool = False) -> int:
        """Return the number of rows inserted: those whose key is not there yet.

        Where `ranged`, only the files are read whose statistics let them hold a key of the frame's range; a
        table that grows chunk by chunk would else be read whole for each of its chunks.
        """
        there = self.read(table.name).select(*table.key)
        if ranged:
            there = there.where(_within(frame, table.key[0]))
        # Delta reads `there` in the same transaction as it writes, so that another writer's commit is a conflict. A
        # MERGE does the same in more executions.
        keys = list(table.key)
        return self._commit(table.name, frame.dropDuplicates(keys).join(there, keys, "left_anti"))

    @on_conflict
    def _delete(self, name: str, condition: str) -> int:
        self._check_lease()
        query = f"DELETE FROM {self.location(name)} WHERE {condition}"  # noqa: S608 - literals are quoted
        with self._pages_of(name):
            return int(self.spark.sql(query).collect()[0]["num_affected_rows"])

    def _pages_of(self, name: str) -> AbstractContextManager[None]:
        """Return the context in which files of a table are written with the pages that it declares."""
        return small_pages(self.spark, TABLES[name].page_rows)

    def _check_lease(self) -> None:
        if self.lease is not None:
            self.lease.check()

    def _ready(self, table: Table) -> bool:
        """Return whether the table was there before; now it is, with all declared columns."""
        folder = self.folder(table.name)
        if table.name in self._declared and (folder is None or (folder / LOG).is_dir()):
            return True
        # Stages run side by side: without the lock, two create the same table, and one must try again.
        with self._creating:
            was_there = self._declare(table)
            self._declared.add(table.name)
        return was_there

    def _declare(self, table: Table) -> bool:
        there = self._table(table.name)
        if there is None:
            self.create(table)
            self._created.add(table.name)
            return False
        new = [c for c in table.columns if c.name not in there.columns]
        if new:
            self.spark.sql(ddl.add_columns(new, self.location(table.name)))
        for column in there.schema.fields:
            if column.name not in table.column_names and not column.nullable:
                self.spark.sql(ddl.allow_null(column.name, self.location(table.name)))
        return True

    def _properties(self, name: str) -> dict[str, str]:
        """Return the table's properties and the features of Delta that it has; no file is listed for them."""
        rows = self.spark.sql(f"SHOW TBLPROPERTIES {self.location(name)}").collect()
        return {row["key"]: row["value"] for row in rows}

    def _renew_checks(self, table: Table) -> bool:
        """Return whether the table had other checks than are declared now, as one of an older version has."""
        where = self.location(table.name)
        there = {
            key.removeprefix(ddl.CHECKS): value
            for key, value in self._properties(table.name).items()
            if key.startswith(ddl.CHECKS)
        }
        if there == dict(table.checks):
            return False
        for name in there:
            self.spark.sql(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS `{name}`")
        for name, rule in table.checks.items():
            self.spark.sql(f"ALTER TABLE {where} ADD CONSTRAINT `{name}` CHECK ({rule})")
        return True


def fit(frame: DataFrame, table: Table) -> DataFrame:
    """Return `frame` with its columns in the declared order.

    Raises:
        SchemaError: names every column that is missing, is not declared, or has another type.
    """
    types = {f.name: f.dataType for f in frame.schema.fields}
    declared = {f.name: f.dataType for f in table.schema.fields}
    faults = [f"column '{n}' must be {_type(k)}. Got no such column" for n, k in declared.items() if n not in types]
    faults += [
        f"column '{n}' must be declared in schemas.py. Got {_type(types[n])}" for n in types if n not in declared
    ]
    faults += [
        f"column '{n}' must be {_type(kind)}. Got {_type(types[n])}"
        for n, kind in declared.items()
        if n in types and _type(types[n]) != _type(kind)
    ]
    if faults:
        raise SchemaError(f"table '{table.name}': " + "; ".join(faults) + ". Nothing was written.")
    return frame.select(*table.column_names)


def _column(field: t.StructField, there: Sequence[str]) -> Column:
    """Return a declared column of a table that has the columns `there`."""
    source = next((name for name in (field.name, OLDER_COLUMNS.get(field.name)) if name in there), None)
    return (F.lit(None).cast(field.dataType) if source is None else F.col(source)).alias(field.name)


def _scope(table: Table, stage: str) -> str | None:
    """Return the condition of the rows that a stage's first write replaces; None where it only adds."""
    if table.mode in ("append", "merge"):
        return None
    return f"stage = {ddl.text(stage)}" if table.mode == "by_stage" else ALL


def _within(frame: DataFrame, key: str) -> Column:
    """Return whether a row's key, a text, is in the range of the frame's."""
    low, high = frame.agg(F.min(key), F.max(key)).collect()[0]
    return F.lit(False) if low is None else F.col(key).between(low, high)


def _type(kind: t.DataType) -> str:
    return kind.simpleString()
