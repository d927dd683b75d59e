"""Files of a release: parts in CSV and Parquet, checksums, and reading a release back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.errors import ConfigError
from twigma_spark.io import arrow, post_ids
from twigma_spark.io.export import FORMULA

# Rows of a row group: the same whatever the size of the batches that come, so that equal rows make equal files.
ROW_GROUP = 65_536
DATA, MANIFEST, SUMS = "data", "release.json", "SHA256SUMS"
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Part:
    """A file of rows.

    Attributes:
        name: path below the release's folder.
        rows: in it.
        n_bytes: its size.
        sha256: its checksum.
    """

    name: str
    rows: int
    n_bytes: int
    sha256: str


class _Files:
    """A part in both formats, open to be written."""

    def __init__(self, folder: Path, number: int, schema: pa.Schema) -> None:
        self.paths = [folder / f"images-{number:05d}{suffix}" for suffix in (".csv", ".parquet")]
        self.rows = 0
        as_text = [pa.field(f.name, pa.string()) if pa.types.is_timestamp(f.type) else f for f in schema]
        self.csv = pyarrow.csv.CSVWriter(str(self.paths[0]), pa.schema(as_text))
        self.parquet = pq.ParquetWriter(self.paths[1], schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self.parquet.write_table(table, row_group_size=ROW_GROUP)
        self.csv.write_table(pa.table([_as_text(c) for c in table.columns], names=table.column_names))

    def close(self, folder: Path) -> list[Part]:
        """Return the two files, which are whole now."""
        self.csv.close()
        self.parquet.close()
        return [describe(path, folder, self.rows) for path in self.paths]


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as it is written to CSV: times in ISO 8601, no text that a spreadsheet would compute."""
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, TIME)
    if pa.types.is_string(column.type):
        return pc.replace_substring_regex(column, f"^({FORMULA.pattern})", r"'\1")
    return column


def write_parts(
    batches: Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema, rows_a_file: int | None
) -> list[Part]:
    """Return the files written below `folder`, each part as CSV and as Parquet; equal rows give equal bytes.

    Args:
        batches: rows in their order; only those of one row group are held in memory.
        folder: of the release; the files are in its folder `data`.
        schema: of the Parquet files. In CSV times are text in UTC (ISO 8601), a null is an empty field, and a text that
            a spreadsheet would compute has an apostrophe in front (`export.escape_formula`).
        rows_a_file: rows of a part at most.
    """
    (folder / DATA).mkdir()
    parts: list[Part] = []
    open_files: _Files | None = None
    for table in arrow.equal_tables(batches, schema, min(ROW_GROUP, rows_a_file or ROW_GROUP)):
        if open_files is not None and rows_a_file is not None and open_files.rows + table.num_rows > rows_a_file:
            parts += open_files.close(folder)
            open_files = None
        if open_files is None:
            open_files = _Files(folder / DATA, len(parts) // 2 + 1, schema)
        open_files.write(table)
    parts += (open_files or _Files(folder / DATA, len(parts) // 2 + 1, schema)).close(folder)
    return parts


def describe(path: Path, folder: Path, rows: int = 0) -> Part:
    """Return a file of a release with its size and checksum."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Part(path.relative_to(folder).as_posix(), rows, path.stat().st_size, digest)


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files below the folder, as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{part.sha256}  {part.name}\n" for part in (describe(path, folder) for path in files)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a release says of itself.

    Raises:
        ConfigError: where the folder holds no whole release.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = {part["name"] for part in manifest["files"]} <= {
            path.relative_to(folder).as_posix() for path in folder.rglob("*")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"a release must be a folder with {MANIFEST}, as twigma release writes it. Got {str(folder)!r}: {error}."
        ) from error
    if not whole:
        raise ConfigError(f"a release must have all files that its {MANIFEST} names. Got {str(folder)!r}.")
    return dict(manifest)


def read_release(spark: SparkSession, folder: Path, form: str = "parquet") -> DataFrame:
    """Return the rows of a release, from its Parquet or CSV files.

    Raises:
        ConfigError: where the folder holds no whole release, or ids that a program has turned into numbers.
    """
    manifest = read_manifest(folder)
    paths = [str(folder / part["name"]) for part in manifest["files"] if part["name"].endswith(f".{form}")]
    if form == "parquet":
        return spark.read.parquet(*paths)
    schema = ", ".join(f"`{field['name']}` {field['type']}" for field in manifest["fields"])
    reader = spark.read.options(header=True, multiLine=True, escape='"', emptyValue="", mode="FAILFAST")
    rows = reader.schema(schema).csv(paths)
    texts = [name for name, kind in rows.dtypes if kind == "string"]
    rows = rows.withColumns({name: F.regexp_replace(name, f"^'({FORMULA.pattern})", "$1") for name in texts})
    check_ids(rows)
    return rows


def check_ids(rows: DataFrame) -> None:
    """Check that no id of a post went through a floating-point number, which changes its last digits.

    Raises:
        ConfigError: shows one.
    """
    damaged = rows.where(F.col("id").rlike(post_ids.DAMAGED)).select("id").first()
    if damaged is not None:
        raise ConfigError(f"ids must be whole, as text. Got {damaged['id']!r}: {post_ids.WAY_OUT}.")
