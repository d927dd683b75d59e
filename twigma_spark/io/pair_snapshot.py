"""Pairs as Parquet files for training: rows in a random order, in files of bounded size, from known table versions."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.io import arrow

MANIFEST = "snapshot.json"
# Bytes of a file, which is read at once.
FILE_BYTES = 16 << 20
# Rows of a Spark task.
TASK_ROWS = 2000


@dataclass(frozen=True)
class Snapshot:
    """Files of pairs.

    Attributes:
        folder: where they are; every process that trains can read it.
        files: of each part (train, validation, test) the names below the folder and their rows.
        facts: what the rows were made from: versions of the tables, and how the pairs were split.
    """

    folder: Path
    files: Mapping[str, tuple[tuple[str, int], ...]]
    facts: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """How many rows there are in all parts."""
        return sum(rows for own in self.files.values() for _, rows in own)

    @property
    def digest(self) -> str:
        """What a training on these rows is known by: a hash of what they are and of the files they are in."""
        return hashlib.sha256(json.dumps([self.facts, self.files], sort_keys=True).encode()).hexdigest()


def write_snapshot(frame: DataFrame, folder: Path, facts: Mapping[str, Any], rows: int, tasks: int, seed: int) -> None:
    """Write the rows of a frame; the manifest comes last, so that half of a snapshot is none.

    The same rows and arguments give the same files.

    Args:
        frame: part and row (no two have the same), and the columns that are kept.
        folder: new, on storage that the workers write and the training reads.
        facts: what the rows were made from.
        rows: how many there are, about.
        tasks: Spark tasks at least, and so files.
        seed: of the order.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("train", "validation", "test"):
        (folder / part).mkdir(parents=True)
    # Each task gives each part a file at least: with so many rows all of them have some.
    spread = frame.repartition(max(tasks, -(-rows // TASK_ROWS)), F.col("row"))
    ordered = spread.sortWithinPartitions(F.xxhash64("row", F.lit(seed)), "row")

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        written = list(write_files(batches, folder, context.partitionId() if context else 0))
        names = "part", "file", "rows"
        columns = [pa.array([each[place] for each in written], t) for place, t in enumerate(_TYPES)]
        yield pa.record_batch(columns, names)

    parts = arrow.collect(ordered.mapInArrow(write, "part STRING, file STRING, rows BIGINT")).to_pylist()
    files: dict[str, list[tuple[str, int]]] = {part: [] for part in ("train", "validation", "test")}
    for each in sorted(parts, key=lambda row: row["file"]):
        files[each["part"]].append((each["file"], each["rows"]))
    new = folder / f".{MANIFEST}"
    new.write_text(json.dumps({"files": files, "facts": facts}, indent=1), encoding="utf-8")
    new.rename(folder / MANIFEST)


_TYPES = (pa.string(), pa.string(), pa.int64())


def write_files(
    batches: Iterable[pa.RecordBatch], folder: Path, task: int, most: int = FILE_BYTES
) -> Iterator[tuple[str, str, int]]:
    """Yield part, name and number of rows of the files that the rows of a task are written to.

    Args:
        batches: of part, row and further columns.
        folder: has a folder for each part.
        task: number of the task, in the names of its files.
        most: bytes of a file, about.
    """
    waiting: dict[str, pa.Table] = {}
    written: dict[str, int] = {}

    def write(part: str, rows: pa.Table) -> tuple[str, str, int]:
        name = f"{part}/{task:05d}-{written.get(part, 0):05d}.parquet"
        written[part] = written.get(part, 0) + 1
        # A task that is run twice at once writes the same; the name is given to a whole file.
        new = folder / f"{name}.{id(rows)}"
        pa.parquet.write_table(rows, new, row_group_size=rows.num_rows, compression="none", use_dictionary=False)
        new.rename(folder / name)
        return part, name, rows.num_rows

    for batch in batches:
        table = pa.Table.from_batches([batch])
        for part in pa.compute.unique(table.column("part")).to_pylist():
            own = table.filter(pa.compute.equal(table.column("part"), part)).drop_columns(["part"])
            rows = pa.concat_tables([waiting[part], own]) if part in waiting else own
            while rows.nbytes > most:
                first = max(1, rows.num_rows * most // rows.nbytes)
                yield write(part, rows.slice(0, first))
                rows = rows.slice(first)
            waiting[part] = rows
    for part, rows in waiting.items():
        if rows.num_rows:
            yield write(part, rows)


def read_snapshot(folder: Path) -> Snapshot | None:
    """Return the snapshot of a folder, or None where there is none or half of one."""
    file = folder / MANIFEST
    if not file.is_file():
        return None
    manifest = json.loads(file.read_text(encoding="utf-8"))
    files = {part: tuple((str(name), int(rows)) for name, rows in own) for part, own in manifest["files"].items()}
    return Snapshot(folder, files, manifest["facts"])
