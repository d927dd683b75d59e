"""Files that leave the tables: a text or bytes to a path, on disk, in S3, or in a store that fsspec knows."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pandas as pd

from twigma_spark.errors import ConfigError
from twigma_spark.io import url_files
from twigma_spark.io.local_files import mount_path
from twigma_spark.io.url_files import Settings

# A spreadsheet takes a text that begins so for a formula and may run it; behind an apostrophe it is a text. One that
# has apostrophes in front already gets one more, so that `unescape_formula` finds every text again.
FORMULA = re.compile(r"'*[=+\-@\t\r]")
ESCAPED = re.compile(r"'+[=+\-@\t\r]")
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/")


def write_text(path: str, text: str, settings: Settings = ()) -> str:
    """Return where the text was written, in UTF-8; a reader never sees half of it.

    Args:
        path: a file; ``/Volumes/...`` and ``dbfs:/...`` are files on Databricks, ``s3://...`` is written by Arrow,
            and ``abfss://...`` and the like by fsspec.
        text: the whole file.
        settings: how S3 is reached; without them, as the environment or the machine's role says.

    Raises:
        ConfigError: where nothing can write to such a path.
    """
    return write_bytes(path, text.encode(), settings)


def write_bytes(path: str, content: bytes, settings: Settings = ()) -> str:
    """Return where the content was written; `write_text` says what a path may be and what is raised."""
    local = mount_path(path)
    return _write_remote(path, content, settings) if SCHEME.match(local) else _write_local(Path(local), content)


def why_unwritable(path: str) -> str | None:
    """Return why nothing here can write to such a path, or None; whether the storage lets us is not tried."""
    error = url_files.why_unusable(path) if SCHEME.match(mount_path(path)) else None
    return None if error is None else _explain(path, error)


def try_to_write(folder: str, settings: Settings = ()) -> None:
    """Write a small file into a folder or below a URL, and remove it again; Spark lists no file of its name.

    Raises:
        ConfigError: it cannot be written, and why.
    """
    path = f"{folder.rstrip('/')}/_twigma_spark"
    try:
        written = write_bytes(path, b"", settings)
        if SCHEME.match(written):
            url_files.remove_url(written, settings)
        else:
            Path(written).unlink()
    except Exception as error:  # each storage has errors of its own
        raise ConfigError(
            "must be a folder that all nodes can write, or a URL that Arrow (s3://) or fsspec can write (adlfs for "
            f"abfss://, gcsfs for gs://), with credentials in the environment. Got {folder!r}: {error}"
        ) from error


def escape_formula(value: Any) -> Any:
    """Return a cell of a CSV file for people: a text that a spreadsheet would compute gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def unescape_formula(text: str) -> str:
    """Return the text that `escape_formula` was given."""
    return text[1:] if ESCAPED.match(text) else text


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `escape_formula` of each text; numbers are as they are."""
    texts = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: frame[name].map(escape_formula) for name in texts})


def frame_bytes(frame: pd.DataFrame, form: str) -> bytes:
    """Return the rows as a file: "csv" with a header, "json", a list of objects, or "parquet".

    Texts in CSV that a spreadsheet would compute are escaped (`escape_formula`); in the other two none is.
    """
    if form == "parquet":
        return bytes(frame.to_parquet(index=False))
    if form == "csv":
        return str(escape_formulas(frame).to_csv(index=False, lineterminator="\n")).encode()
    return f"{frame.to_json(orient='records', indent=1, force_ascii=False)}\n".encode()


def _write_local(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _write_remote(path: str, content: bytes, settings: Settings) -> str:
    """Return `path`; an object store shows an object only once it is whole."""
    try:
        url_files.write_url(path, content, settings)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"report.path {_explain(path, error)}") from error
    return path


def _explain(path: str, error: Exception) -> str:
    return (
        f"must be a file or a URL that fsspec can write. Got {path!r}: {error}. "
        "Install its driver (adlfs for abfss://, gcsfs for gs://), or name a file such "
        "as /Volumes/... or build/report.html; the report is in the table `reports` as well."
    )
