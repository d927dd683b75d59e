"""Files that leave the tables: a text to a path, on disk or in a store that fsspec knows."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path

import pandas as pd

from twigma_spark.errors import ConfigError

SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/")


def write_text(path: str, text: str) -> str:
    """Return where the text was written, in UTF-8; a reader never sees half of it.

    Args:
        path: a file; ``/Volumes/...`` and ``dbfs:/...`` are files on Databricks, ``s3://...`` and the like
            are written by fsspec.
        text: the whole file.

    Raises:
        ConfigError: where nothing can write to such a path.
    """
    if path.startswith("dbfs:/"):
        return write_text(_mounted(path), text)
    if path.startswith("file:/"):
        return write_text("/" + path.removeprefix("file:").lstrip("/"), text)
    return _write_remote(path, text) if SCHEME.match(path) else _write_local(Path(path), text)


def frame_text(frame: pd.DataFrame, form: str) -> str:
    """Return rows as text: "csv" with a header, or "json", a list of objects."""
    if form == "csv":
        return str(frame.to_csv(index=False, lineterminator="\n"))
    return str(frame.to_json(orient="records", indent=1, force_ascii=False)) + "\n"


def write_parquet(path: Path, frame: pd.DataFrame) -> str:
    """Return the local file that the rows were written to; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        frame.to_parquet(part, index=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _mounted(path: str) -> str:
    """Return the path under which Databricks mounts a dbfs:/ URL."""
    inside = "/" + path.removeprefix("dbfs:").lstrip("/")
    return inside if inside.startswith("/Volumes/") else "/dbfs" + inside


def _write_local(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _write_remote(path: str, text: str) -> str:
    """Return `path`; an object store shows an object only once it is whole."""
    try:
        fsspec = import_module("fsspec")  # an option: disks and /Volumes need none
        with fsspec.open(path, "wb") as stream:
            stream.write(text.encode("utf-8"))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"report.path must be a file or a URL that fsspec can write. Got {path!r}: {error}. "
            "Install its driver (s3fs for s3://, adlfs for abfss://, gcsfs for gs://), or name a file such "
            "as /Volumes/... or build/report.html; the report is in the table `reports` as well."
        ) from error
    return path
