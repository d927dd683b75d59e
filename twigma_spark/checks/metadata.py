"""What the beginning of a metadata file shows: its separator, encoding and columns, and whether it names files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twigma_spark.checks.problem import Problem, absolute, require_path
from twigma_spark.config.data import Corpus
from twigma_spark.io.corpora import is_table_path
from twigma_spark.io.local_files import CSV_SUFFIXES, JSON_SUFFIXES, is_table_name
from twigma_spark.io.peek import HEAD_BYTES, parquet_files, parquet_head, parse_head, read_head

SEPARATORS = {",": "a comma", ";": "';'", "\t": "a tab", "|": "'|'"}


def check_metadata(corpus: Corpus, key: str) -> Iterator[Problem]:
    """Yield what is wrong with the metadata of a corpus that has some."""
    path = Path(str(corpus.metadata))
    suffix = path.suffix.lower()
    if is_table_path(str(path)):
        yield from _check_table(corpus, key, path)
    elif suffix not in (*CSV_SUFFIXES, *JSON_SUFFIXES):
        hint = "; save the sheet as CSV" if suffix in (".xlsx", ".xls", ".ods") else ""
        yield Problem(
            key, f"must be a .csv, .tsv, .jsonl, .ndjson or .parquet file, or a Delta table. Got {path.name!r}{hint}"
        )
    elif not path.is_file():
        yield require_path(key, str(path))
    else:
        head = read_head(path)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            yield Problem(key, "must be UTF-8. Got UTF-16; save it as UTF-8")
        elif not head.strip():
            yield Problem(key, f"must describe images. Got an empty file, {absolute(str(path))}")
        else:
            yield from _check_head(corpus, key, head, suffix)


def _check_table(corpus: Corpus, key: str, path: Path) -> Iterator[Problem]:
    """Yield what is wrong with metadata in Parquet or Delta; a table of the catalog is not looked at."""
    if is_table_name(str(path)):
        return
    files = parquet_files(path) if path.exists() else []
    if not path.exists():
        yield require_path(key, str(path))
    elif not files:
        yield Problem(key, f"must hold .parquet files. Got none in {absolute(str(path))}")
    else:
        try:
            columns = parquet_head(files[:1]).columns
        except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
            yield Problem(key, f"must be Parquet. Got {files[0].name}: {str(error).splitlines()[0][:200]}")
            return
        wanted = corpus.columns.file
        if wanted.partition(".")[0] not in columns and wanted not in columns:
            rule = f"must have a column {wanted!r} with the names of the files. Got {', '.join(columns)}"
            yield Problem(key, f"{rule}; set corpora.{corpus.name}.columns.file to the column's name")


def _check_head(corpus: Corpus, key: str, head: bytes, suffix: str) -> Iterator[Problem]:
    cut = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    try:
        text = cut.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, line = cut[error.start], cut[: error.start].count(b"\n") + 1
        rule = f"must be UTF-8, or its lines become rejects. Got byte 0x{byte:02x} in line {line} (latin-1?)"
        yield Problem(key, rule, fatal=False)
        text = cut.decode("utf-8-sig", "replace")
    wanted = corpus.columns.file
    rows, columns = parse_head(text, suffix, corpus.header)
    if not columns:
        yield Problem(key, f"must have a line of JSON for each image. Got {text.strip()[:60]!r}")
    elif wanted not in columns:
        yield Problem(key, _explain_columns(corpus, text, columns, suffix))
    elif doubled := sorted({name for name in columns if columns.count(name) > 1}):
        yield Problem(key, f"must have columns of different names. Got twice: {', '.join(doubled)}")
    elif rows and not any(_names_file(corpus, row.get(wanted) or "") for row in rows):
        rule = f"its column {wanted!r} must name files below {absolute(corpus.path)}"
        text = f"{rule}. Got no file in {len(rows):,} rows, such as {rows[0].get(wanted)!r}"
        yield Problem(key, text, fatal=False)


def _explain_columns(corpus: Corpus, text: str, columns: list[str], suffix: str) -> str:
    """Return why the column of file names may be missing, and what to do."""
    wanted, first = corpus.columns.file, text.splitlines()[0]
    rule = f"must have a column {wanted!r} with the names of the files"
    for separator, name in SEPARATORS.items():
        if wanted in [part.strip('" ') for part in first.split(separator)] and len(columns) == 1:
            other = "name it .tsv" if separator == "\t" else "save it with commas"
            return f"{rule}. The separator seems to be {name}; {other}"
    named = suffix in JSON_SUFFIXES or corpus.header
    header = "" if named else ", or header to the names of a file without a first line of them"
    return f"{rule}. Got {', '.join(columns)}; set corpora.{corpus.name}.columns.file to the column's name{header}"


def _names_file(corpus: Corpus, name: str) -> bool:
    folders = (Path(corpus.path), Path(str(corpus.metadata)).parent)
    return bool(name) and any((folder / name).is_file() for folder in folders)
