"""The store: declared Delta tables in a folder, an object store or a catalog schema."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.errors import ConfigError, SchemaError
from twigma_spark.schemas import TABLES, Table

CATALOG = re.compile(r"^\w+\.\w+$")


@dataclass(frozen=True)
class Listed:
    """What the store says of one table."""

    name: str
    rows: int
    version: int
    comment: str


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

    def location(self, name: str) -> str:
        """Return what Spark SQL calls the table: catalog.schema.table, or delta.`path`."""
        if self.in_catalog:
            return ".".join(f"`{part}`" for part in (*self.root.split("."), name))
        return f"delta.`{self.root.rstrip('/')}/{name}`"

    def exists(self, name: str) -> bool:
        """Return whether the table was created."""
        if self.in_catalog:
            return bool(self.spark.catalog.tableExists(self.location(name)))
        return bool(DeltaTable.isDeltaTable(self.spark, self._path(name)))

    def read(self, name: str) -> DataFrame:
        """Return the table's rows; a table that does not exist yet has none."""
        if not self.exists(name):
            return self.spark.createDataFrame([], TABLES[name].schema)
        return self.spark.read.table(self.location(name)).select(*TABLES[name].column_names)

    def version(self, name: str) -> int:
        """Return the table's Delta version, or -1 where it does not exist."""
        return int(self._last(name)["version"]) if self.exists(name) else -1

    def create(self, table: Table) -> None:
        """Create the table as declared, or add the columns that it was declared with since."""
        if self.exists(table.name):
            return self._grow(table)
        if self.in_catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(f'`{p}`' for p in self.root.split('.'))}")
        builder = DeltaTable.createIfNotExists(self.spark).comment(table.comment)
        if self.in_catalog:
            builder = builder.tableName(self.location(table.name))
        else:
            builder = builder.location(self._path(table.name))
        for column, kind in zip(table.columns, table.schema.fields, strict=True):
            builder = builder.addColumn(column.name, kind.dataType, nullable=kind.nullable, comment=column.comment)
        builder.partitionedBy(*table.partition_by).execute()
        for name, rule in table.checks.items():
            self.spark.sql(f"ALTER TABLE {self.location(table.name)} ADD CONSTRAINT {name} CHECK ({rule})")
        return None

    def write(self, name: str, frame: DataFrame, *, stage: str, again: bool = False) -> int:
        """Return the number of rows written; the table is created first where it is missing.

        Args:
            name: a declared table.
            frame: fits the declaration, in any order of columns.
            stage: the writing stage; `by_stage` tables keep the rows of the others.
            again: a further part of the same run, which is added to the part before.

        Raises:
            SchemaError: before anything is written, where the frame does not fit.
        """
        table = TABLES[name]
        fitted = fit(frame, table)
        self.create(table)
        before = self.version(name)
        if table.mode == "merge":
            self._insert_missing(table, fitted)
        else:
            writer = fitted.writeTo(self.location(name))
            scope = self._scope(table, stage)
            writer.append() if again or scope is None else writer.overwrite(scope)
        return self._rows_written(name) if self.version(name) > before else 0

    def stage_frame(self, frame: DataFrame, name: str) -> DataFrame:
        """Return `frame` as computed once, read back from the staging table `name`."""
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        if self.in_catalog:
            writer.saveAsTable(self.location(name))
        else:
            writer.save(self._path(name))
        return self.spark.read.table(self.location(name))

    def drop_staged(self, name: str) -> None:
        """Remove a staging table and, as far as the store allows, its files."""
        if self.in_catalog:
            self.spark.sql(f"DROP TABLE IF EXISTS {self.location(name)}")
        elif "://" not in self.root:
            shutil.rmtree(self._path(name), ignore_errors=True)
        elif self.exists(name):
            self.spark.sql(f"DELETE FROM {self.location(name)}")
            self.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
            self.spark.sql(f"VACUUM {self.location(name)} RETAIN 0 HOURS")

    def listing(self) -> list[Listed]:
        """Return what is in the store, in the order of the declarations."""
        there = [table for table in TABLES.values() if self.exists(table.name)]
        return [
            Listed(x.name, self.spark.read.table(self.location(x.name)).count(), self.version(x.name), x.comment)
            for x in there
        ]

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _delta(self, name: str) -> DeltaTable:
        if self.in_catalog:
            return DeltaTable.forName(self.spark, self.location(name))
        return DeltaTable.forPath(self.spark, self._path(name))

    def _last(self, name: str) -> t.Row:
        return self._delta(name).history(1).select("version", "operationMetrics").collect()[0]

    def _rows_written(self, name: str) -> int:
        metrics = self._last(name)["operationMetrics"]
        return int(metrics.get("numTargetRowsInserted", metrics.get("numOutputRows", 0)))

    def _scope(self, table: Table, stage: str) -> Column | None:
        """Return which rows a stage's first write replaces; None where it only adds."""
        if table.mode == "append":
            return None
        return F.col("stage") == F.lit(stage) if table.mode == "by_stage" else F.lit(True)

    def _insert_missing(self, table: Table, frame: DataFrame) -> None:
        same = " AND ".join(f"old.`{k}` = new.`{k}`" for k in table.key)
        rows = frame.dropDuplicates(list(table.key)).alias("new")
        self._delta(table.name).alias("old").merge(rows, same).whenNotMatchedInsertAll().execute()

    def _grow(self, table: Table) -> None:
        there = set(self.spark.read.table(self.location(table.name)).columns)
        new = [c for c in table.columns if c.name not in there]
        if new:
            added = ", ".join(f"`{c.name}` {c.type}" for c in new)
            self.spark.sql(f"ALTER TABLE {self.location(table.name)} ADD COLUMNS ({added})")


def fit(frame: DataFrame, table: Table) -> DataFrame:
    """Return `frame` with its columns in the declared order.

    Raises:
        SchemaError: names every column that is missing, is not declared, or has another type.
    """
    found = {f.name: f.dataType for f in frame.schema.fields}
    declared = {f.name: f.dataType for f in table.schema.fields}
    faults = [f"column '{n}' must be {_type(k)}. Got no such column" for n, k in declared.items() if n not in found]
    faults += [f"column '{n}' must be declared in schemas.py. Got {_type(found[n])}" for n in found if n not in declared]
    faults += [
        f"column '{n}' must be {_type(kind)}. Got {_type(found[n])}"
        for n, kind in declared.items()
        if n in found and _type(found[n]) != _type(kind)
    ]
    if faults:
        raise SchemaError(f"table '{table.name}': " + "; ".join(faults) + ". Nothing was written.")
    return frame.select(*table.column_names)


def _type(kind: t.DataType) -> str:
    return kind.simpleString()
