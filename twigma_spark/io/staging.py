"""Staging tables: what is computed once, kept beside the store's tables and dropped after the write."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame

from twigma_spark.io import ddl
from twigma_spark.io.tables import Store

# No part of a stage takes so long; what is older was left by a run that was cut off.
ABANDONED_AFTER = timedelta(days=1)


class Staging:
    """The staging tables of one run of a stage.

    Args:
        store: where they are.
        stage: name of the stage.
        run_id: tells them from those of another run.
    """

    def __init__(self, store: Store, stage: str, run_id: str) -> None:
        self.store, self.prefix, self.run_id = store, f"_staging_{stage}_", run_id
        self.names: list[str] = []
        self._kept = 0

    def keep(self, frame: DataFrame) -> DataFrame:
        """Return `frame` as computed once, read back from a table of its own."""
        name = f"{self.prefix}{self.run_id}_{self._kept}"
        self._kept += 1
        self.names.append(name)
        folder = self.store.folder(name)
        if folder is not None:
            # Plain files: nobody else reads them, and the log of a Delta table costs as much as few rows.
            frame.write.parquet(str(folder))
            return self.store.spark.read.schema(frame.schema).parquet(str(folder))
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        if self.store.in_catalog:
            writer.saveAsTable(self.store.location(name))
        else:
            writer.save(self.store.path(name))
        return self.store.spark.read.table(self.store.location(name))

    def drop(self) -> None:
        """Remove the tables."""
        while self.names:
            drop(self.store, self.names.pop())

    def drop_abandoned(self) -> None:
        """Remove the tables of this stage that a run which was cut off left behind a day ago or more.

        In an object store tables cannot be listed without its own tools; a lifecycle rule does it there.
        """
        for name in self._left():
            last = self._last_written(name)
            if last is None or datetime.now() - last > ABANDONED_AFTER:
                drop(self.store, name)

    def _last_written(self, name: str) -> datetime | None:
        folder = self.store.folder(name)
        if folder is None:
            return self.store.state(name).committed
        # Spark writes below the folder, whose own time then stands still; one that is empty has just been made.
        times = [path.stat().st_mtime for path in (folder, *folder.rglob("*")) if path.exists()]
        return datetime.fromtimestamp(max(times)) if times else None

    def _left(self) -> list[str]:
        store = self.store
        if store.in_catalog:
            if not store.spark.catalog.databaseExists(store.root):
                return []
            shown = store.spark.sql(f"SHOW TABLES IN {ddl.quoted(store.root)} LIKE '{self.prefix}*'")
            return [row["tableName"] for row in shown.collect()]
        return [] if "://" in store.root else [path.name for path in Path(store.root).glob(f"{self.prefix}*")]


def drop(store: Store, name: str) -> None:
    """Remove a table and, as far as the store allows, its files."""
    if store.in_catalog:
        store.spark.sql(f"DROP TABLE IF EXISTS {store.location(name)}")
    elif "://" not in store.root:
        shutil.rmtree(store.path(name), ignore_errors=True)
    elif store.exists(name):
        store.spark.sql(f"DELETE FROM {store.location(name)}")  # noqa: S608 - the name is ours
        store.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
        store.spark.sql(f"VACUUM {store.location(name)} RETAIN 0 HOURS")
