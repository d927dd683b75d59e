"""Metadata files as bytes, with the faults that real ones have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

Row = Mapping[str, object]


def csv_lines(rows: Sequence[Row], columns: Sequence[str]) -> list[bytes]:
    """The lines of a CSV file in UTF-8, the header first; a missing value is an empty field."""
    return [_csv_line(columns), *(_csv_line([row.get(column) for column in columns]) for row in rows)]


def latin_line(row: Row, columns: Sequence[str]) -> bytes:
    """One CSV line as a tool that knows Latin-1 only would have written it."""
    return _csv_line([row.get(column) for column in columns], "latin-1")


def json_lines(rows: Sequence[Row]) -> list[bytes]:
    """The lines of a JSONL file."""
    return [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]


def _csv_line(values: Sequence[object], encoding: str = "utf-8") -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return buffer.getvalue().encode(encoding)
