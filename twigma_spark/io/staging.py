"""Staging tables: what is computed once, kept beside the store's tables and dropped after the write."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame

from twigma_spark.io import ddl
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES

# No part of a stage takes so long; what is older was left by a run that was cut off. It decides where there is no lock.
ABANDONED_AFTER = timedelta(days=1)
LOCK = ".lock"
# Texts of posts under the source and the ids that they had before the table of posts was called so.
OLDER_TEXTS = "source = 'tweet'"


class Staging:
    """The staging tables of one run of a stage.

    In a folder, a file beside them is locked as long as the process lives, however it ends. So the next run can tell
    the tables of a run that was killed from those of one that is at work.

    Args:
        store: where they are.
        stage: name of the stage.
        run_id: tells them from those of another run.
    """

    def __init__(self, store: Store, stage: str, run_id: str) -> None:
        self.store, self.prefix, self.run_id = store, f"_staging_{stage}_", run_id
        self.names: list[str] = []
        self._kept = 0
        self._lock: int | None = None

    def keep(self, frame: DataFrame) -> DataFrame:
        """Return `frame` as computed once, read back from a table of its own."""
        name = f"{self.prefix}{self.run_id}_{self._kept}"
        self._kept += 1
        self.names.append(name)
        folder = self.store.folder(name)
        if folder is not None:
            if self._lock is None:
                self._lock = _take(self._lock_file(self.run_id))
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
        """Remove the tables and unlock."""
        while self.names:
            drop(self.store, self.names.pop())
        if self._lock is not None:
            self._lock_file(self.run_id).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def drop_abandoned(self) -> None:
        """Remove the tables of this stage that a run which was cut off left behind.

        Where files cannot be locked, those are the ones of a day ago or more. In an object store tables cannot be
        listed without its own tools; a lifecycle rule does it there.
        """
        by_run: dict[str, list[str]] = {}
        for name in self._left():
            by_run.setdefault(name.removeprefix(self.prefix).rpartition("_")[0], []).append(name)
        for run_id, names in by_run.items():
            with _free(self._lock_file(run_id) if self.store.folder(names[0]) else None) as free:
                for name in names:
                    if free or (free is None and self._is_old(name)):
                        drop(self.store, name)

    def _lock_file(self, run_id: str) -> Path:
        return Path(self.store.root) / f"{self.prefix}{run_id}{LOCK}"

    def _is_old(self, name: str) -> bool:
        last = self._last_written(name)
        return last is None or datetime.now() - last > ABANDONED_AFTER

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
        paths = [] if "://" in store.root else Path(store.root).glob(f"{self.prefix}*")
        return sorted(path.name for path in paths if path.suffix != LOCK)


def _take(path: Path) -> int | None:
    """Return the descriptor of a new file that this process has locked; None where files cannot be locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return None
    return descriptor


@contextmanager
def _free(path: Path | None) -> Iterator[bool | None]:
    """Yield whether the process that locked a file has ended, and then remove the file; None where there is none."""
    if path is None or not path.exists():
        yield None
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def drop_older(store: Store, names: Iterable[str]) -> None:
    """Remove what older versions kept of tables under another name: a purge would not look there.

    Args:
        store: where the tables are now.
        names: of tables that have just been written.
    """
    for table in (TABLES[name] for name in names):
        if store.has_older(table):
            drop(store, table.was)
            store.delete_all("text_embeddings", OLDER_TEXTS)


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
