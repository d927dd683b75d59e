"""The beginnings of files on this machine, without Spark: columns, first rows, how many there are."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twigma_spark.io.local_files import JSON_SUFFIXES

HEAD_BYTES = 2**20
HEAD_ROWS = 1000
# Rows of a Parquet file that are looked at; pictures may lie in them.
PARQUET_ROWS = 3
# Files of a folder that are counted.
MOST_FILES = 50_000
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Head:
    """What the beginning of a file of rows shows.

    Attributes:
        columns: their names, in order.
        rows: the first ones, values as text.
        n_rows: how many there are; None where only the beginning was read.
        types: Arrow type of each column, where the file says it.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    n_rows: int | None = None
    types: tuple[pa.DataType, ...] = ()

    def of_type(self, fits: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
        """Return the columns whose Arrow type passes a test."""
        return tuple(name for name, kind in zip(self.columns, self.types, strict=True) if fits(kind))


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, at most HEAD_BYTES."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def parse_head(text: str, suffix: str, header: Sequence[str] | None = None) -> tuple[Rows, list[str]]:
    """Return the first rows and the names of the columns of a CSV, a TSV or JSON lines."""
    if suffix in JSON_SUFFIXES:
        return _parse_json_lines(text)
    lines = csv.reader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ",")
    columns = list(header) if header else next(lines, [])
    return [dict(zip(columns, row, strict=False)) for row in islice(lines, HEAD_ROWS)], columns


def _parse_json_lines(text: str) -> tuple[Rows, list[str]]:
    rows = []
    for line in islice((line for line in text.splitlines() if line.strip()), HEAD_ROWS):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append({name: value if isinstance(value, str) else "" for name, value in row.items()})
    return rows, list(dict.fromkeys(name for row in rows for name in row))


def text_head(path: Path) -> Head:
    """Return the beginning of a CSV, a TSV or JSON lines; a row that the reading cut off is left out."""
    head = read_head(path)
    whole = len(head) < HEAD_BYTES
    cut = head if whole else head[: head.rfind(b"\n") + 1]
    rows, columns = parse_head(cut.decode("utf-8-sig", "replace"), path.suffix.lower())
    return Head(tuple(columns), tuple(rows), len(rows) if whole and len(rows) < HEAD_ROWS else None)


def parquet_head(files: Sequence[Path]) -> Head:
    """Return the columns and the first rows of Parquet files, and the number of rows of all; bytes are not shown.

    Raises:
        OSError, pa.ArrowInvalid: a file that cannot be read, or is no Parquet.
    """
    first = pq.ParquetFile(files[0])
    schema = first.schema_arrow
    shown = [field.name for field in schema if not holds_bytes(field.type)]
    batch = next(first.iter_batches(PARQUET_ROWS, columns=shown), None) if shown else None
    rows = batch.to_pylist() if batch is not None else []
    n_rows = sum(pq.read_metadata(file).num_rows for file in files)
    texts = tuple({name: str(value) for name, value in row.items() if value is not None} for row in rows)
    return Head(tuple(schema.names), texts, n_rows, tuple(schema.types))


def readable_head(files: Sequence[Path]) -> Head | None:
    """Return `parquet_head`; None where there is no file, or one that is no Parquet."""
    try:
        return parquet_head(files) if files else None
    except (OSError, ValueError):  # Arrow's errors are ValueErrors
        return None


def count_values(file: Path, column: str) -> Mapping[str, int]:
    """Return how often each value of a column of a Parquet file is there."""
    counted = pq.read_table(file, columns=[column]).column(column).value_counts().to_pylist()
    return {str(entry["values"]): int(entry["counts"]) for entry in counted}


def holds_bytes(kind: pa.DataType, field: str | None = None) -> bool:
    """Return whether an Arrow type is that of bytes, or of a structure with them, in a field of this name if given."""
    if pa.types.is_struct(kind):
        return any(field in (None, each.name) and holds_bytes(each.type, field) for each in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those at any depth below a folder, but for hidden ones, in their order."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".parquet" else []
    return list(islice(_below(path, ".parquet"), MOST_FILES))


def files_with(path: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder whose names end in one of some suffixes (in lower case), or the file itself."""
    there = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return [file for file in there if file.is_file() and file.suffix.lower() in suffixes and file.name[0] not in "._"]


def _below(folder: Path, suffix: str) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name[0] in "._" and "=" not in path.name:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, suffix)
        elif path.suffix.lower() == suffix and path.is_file():
            yield path


def describe(path: Path) -> str:
    """Return what lies at a path, in words: `a folder of 2 .parquet, 1 .tar and 3 folders (a, b, c)`."""
    if not path.exists():
        return "nothing there"
    if path.is_file():
        return f"a file of {path.stat().st_size:,} bytes"
    endings: dict[str, int] = {}
    folders: list[str] = []
    for entry in islice(sorted(path.iterdir()), MOST_FILES):
        if entry.is_dir():
            folders.append(entry.name)
        else:
            kind = entry.suffix.lower() or "without an ending"
            endings[kind] = endings.get(kind, 0) + 1
    broken = [file.name for file in files_with(path, ".parquet")[:1] if readable_head([file]) is None]
    counts = [f"{n:,} {kind}" for kind, n in sorted(endings.items(), key=lambda item: -item[1])[:5]]
    if folders:
        counts.append(f"{len(folders):,} folders ({', '.join(folders[:3])}{', ...' if len(folders) > 3 else ''})")
    why = f" ({broken[0]} cannot be read as Parquet)" if broken else ""
    return "a folder of " + (" and ".join(counts) or "nothing") + why
