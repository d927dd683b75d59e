"""Readers of folders of images and of what describes them: CSV, JSON lines, Parquet or Delta."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.config.data import Columns, Corpus
from twigma_spark.config.engine import Ingest
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, local_files, remote_files
from twigma_spark.io.frames import union
from twigma_spark.io.local_files import CSV_SUFFIXES, JSON_SUFFIXES, as_utf8, is_image, is_table_name, lies_in
from twigma_spark.io.parquet_tables import read_rows, text_of, type_of
from twigma_spark.io.session import has_hadoop

BAD = "_bad"
IMAGE_FILES = "source_key STRING, path BINARY, n_bytes BIGINT, content BINARY, reason STRING, detail STRING"
HIDDEN = "Spark lists no file whose name, or whose folder's name, starts with . or _: give it another name"
T = TypeVar("T")


@dataclass(frozen=True)
class Metadata:
    """What a metadata file says.

    Attributes:
        rows: one row a line: `row` (its number), `bad` (why it cannot be used, else null), `line` (its text where
            it cannot be parsed), `file`, and the declared columns as strings, null where the file has none.
        missing: columns that the configuration names and the file lacks.
        fields: declared columns that the file may have; of JSON lines all that the configuration names.
    """

    rows: DataFrame
    missing: tuple[str, ...]
    fields: frozenset[str] = frozenset()


def fingerprint(spark: SparkSession, corpora: tuple[Corpus, ...], follow_links: bool = True) -> str:
    """Return a hash of the names, sizes and times of all files of the corpora; contents are not read."""
    named = [(corpus, path) for corpus in corpora for path in (corpus.path, corpus.metadata) if path]
    return "; ".join(
        local_files.fingerprint(path, follow_links) or _remote_fingerprint(spark, corpus, path)
        for corpus, path in named
    )


def _remote_fingerprint(spark: SparkSession, corpus: Corpus, path: str) -> str:
    if (files := remote_files.list_by_hadoop(spark, corpus.name, path)) is not None:
        return f"{len(files)} files, {hashlib.sha256(repr(files).encode()).hexdigest()[:16]}"
    listed = remote_files.list_by_spark(spark, corpus.name, path)
    return remote_files.fingerprint(listed, remote_files.list_hidden_images(spark, path))


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a corpus.

    Attributes:
        rows: source_key (path below the folder), path (binary; null where the content is there or must not be read),
            n_bytes, content (null where it is read from the path, of a URL by `remote_files.with_contents`), reason and
            detail where it cannot be used.
        n_bytes: of all files together where they are read from their paths, else None.
    """

    rows: DataFrame
    n_bytes: int | None = None


def read_images(spark: SparkSession, corpus: Corpus, path: str, ingest: Ingest) -> ImageFiles:
    """Return the image files below `path`; one of more than `ingest.max_bytes` is never read into memory."""
    if local_files.is_local(path):
        files = [f for f in local_files.list_files(path, ingest.follow_links) if f.fault or is_image(f.key)]
        rows = [_local_row(file, ingest.max_bytes) for file in files]
        return ImageFiles(arrow.local_frame(spark, rows, IMAGE_FILES), sum(file.n_bytes for file in files))
    return _read_remote(spark, corpus, path, ingest.max_bytes)


def _local_row(file: local_files.LocalFile, max_bytes: int) -> tuple[object, ...]:
    reason, detail = file.fault, None
    if reason is None and file.n_bytes > max_bytes:
        reason, detail = "too_many_bytes", _too_large(max_bytes)
    return (file.key, None if reason else file.path, file.n_bytes, None, reason, detail)


def _too_large(max_bytes: int) -> str:
    return (
        f"more than {max_bytes:,} bytes: ingest.max_bytes, or what spark.driver.memory or spark.executor.memory allow"
    )


def _remote_row(file: remote_files.RemoteFile, max_bytes: int) -> tuple[object, ...]:
    reason, detail = ("hidden_name", HIDDEN) if remote_files.is_hidden(file.key) else (None, None)
    if reason is None and file.n_bytes > max_bytes:
        reason, detail = "too_many_bytes", _too_large(max_bytes)
    return (file.key, None if reason else file.path.encode(), file.n_bytes, None, reason, detail)


def _read_remote(spark: SparkSession, corpus: Corpus, path: str, max_bytes: int) -> ImageFiles:
    if (files := remote_files.list_by_hadoop(spark, corpus.name, path)) is not None:
        images = [file for file in files if is_image(file.key)]
        rows = arrow.local_frame(spark, [_remote_row(file, max_bytes) for file in images], IMAGE_FILES)
        return ImageFiles(rows, sum(file.n_bytes for file in images))
    return ImageFiles(_read_by_spark(spark, corpus, path, max_bytes))


def _read_by_spark(spark: SparkSession, corpus: Corpus, path: str, max_bytes: int) -> DataFrame:
    """Return the rows of image files, read by Spark alone."""
    listed = remote_files.list_by_spark(spark, corpus.name, path, remote_files.IMAGES)
    small = listed.where(F.col("length") <= max_bytes).select("path", "length", "content")
    unread = F.lit(None).cast("binary").alias("content")
    large = listed.where(F.col("length") > max_bytes).select("path", "length", unread)
    read = small.unionByName(large).unionByName(remote_files.list_empty(listed))
    hidden = arrow.local_frame(spark, remote_files.list_hidden_images(spark, path), "path STRING, length BIGINT")
    too_large = F.col("length") > max_bytes
    files = read.select(
        "*",
        F.when(too_large, "too_many_bytes").alias("reason"),
        F.when(too_large, _too_large(max_bytes)).alias("detail"),
    ).unionByName(
        hidden.select("*", unread, F.lit("hidden_name").alias("reason"), F.lit(HIDDEN).alias("detail")),
    )
    return files.select(
        remote_files.below(path).alias("source_key"),
        F.lit(None).cast("binary").alias("path"),
        F.col("length").alias("n_bytes"),
        "content",
        "reason",
        "detail",
    )


def list_images(spark: SparkSession, corpus: Corpus, path: str, ingest: Ingest) -> DataFrame:
    """Return the source_key of each image file below `path`, in a listing of its own; contents are not read."""
    if local_files.is_local(path):
        names = [(name,) for name in _walk(path, ingest.follow_links)]
        return arrow.local_frame(spark, names, "source_key STRING")
    if has_hadoop(spark):
        names = [(name,) for name in remote_files.list_names(spark, corpus.name, path)]
        return arrow.local_frame(spark, names, "path STRING").select(remote_files.below(path).alias("source_key"))
    listed = remote_files.list_by_spark(spark, corpus.name, path, remote_files.IMAGES)
    hidden = arrow.local_frame(spark, remote_files.list_hidden_images(spark, path), "path STRING, length BIGINT")
    paths = [frame.select("path") for frame in (listed, remote_files.list_empty(listed), hidden)]
    return union(paths).select(remote_files.below(path).alias("source_key"))


def _walk(path: str, follow_links: bool) -> Iterator[str]:
    """Yield the names below a folder of images, and of folders and links that cannot be entered.

    It is what `ingest` is checked against, so it shares nothing with the listing that `ingest` reads.
    """
    root = Path(path)
    if not root.is_dir():
        yield as_utf8(root.name)
        return
    whole, pending = os.path.realpath(root), [root]
    closed: list[Path] = []
    while pending:
        for place, folders, names in os.walk(pending.pop(), onerror=lambda error: closed.append(Path(error.filename))):
            here = Path(place)
            for link in (here / name for name in folders if (here / name).is_symlink()):
                target = os.path.realpath(link)
                circle = lies_in(os.path.realpath(here), target)
                (closed if circle or not (follow_links or lies_in(target, whole)) else pending).append(link)
            for name in names:
                if is_image(name) or _is_fault(here / name, whole, follow_links):
                    yield as_utf8(os.path.relpath(here / name, root))
    yield from (as_utf8(os.path.relpath(folder, root)) for folder in closed)


def _is_fault(path: Path, whole: str, follow_links: bool) -> bool:
    """Return whether a path is a link that leads nowhere or out of the corpus, or no file."""
    leads_out = path.is_symlink() and not follow_links and not lies_in(os.path.realpath(path), whole)
    return leads_out or not path.is_file()


def read_metadata(spark: SparkSession, corpus: Corpus) -> Metadata:
    """Return the corpus's metadata: CSV (with a header, or with `header` as configured), JSONL, Parquet or Delta.

    Raises:
        CorpusError: where the file does not exist or is of another kind.
    """
    path = str(corpus.metadata)
    wanted = wanted_columns(corpus)
    if path.lower().endswith(JSON_SUFFIXES):
        raw, names = _read_jsonl(spark, corpus, path)
    elif path.lower().endswith(CSV_SUFFIXES):
        raw, names = _read_csv(spark, corpus, path)
    elif is_table_path(path):
        raw, names = _read_table(spark, corpus, path, wanted)
    else:
        raise CorpusError(
            f"corpus '{corpus.name}': metadata must be a .csv, .tsv, .jsonl or .parquet file, a folder of .parquet "
            f"files or a Delta table. Got {path!r}."
        )
    columns = {field: _column(name, names) for field, name in wanted.items()}
    return as_metadata(corpus, raw, _below(columns.pop("file"), corpus, path), columns, names)


def wanted_columns(corpus: Corpus) -> dict[str, str]:
    """Return the names in the metadata by the declared column, without those that are switched off."""
    named = corpus.columns.model_dump(exclude={"image"})
    return {field: name for field, name in named.items() if name is not None}


def as_metadata(
    corpus: Corpus,
    raw: DataFrame,
    file: Column,
    columns: Mapping[str, Column],
    names: Sequence[str],
    also: Mapping[str, Column] | None = None,
) -> Metadata:
    """Return rows as metadata.

    Args:
        corpus: whose columns the configuration may name.
        raw: rows; of a text file with `_bad`, the text of a line that cannot be parsed, else null.
        file: path below the image folder.
        columns: the other declared columns, as text.
        names: that the file has.
        also: further columns that the rows keep, such as the content of pictures.
    """
    wanted = wanted_columns(corpus)
    absent = [F.lit(None).cast("string").alias(f) for f in wanted_fields() if f not in columns]
    read = [column.alias(field) for field, column in [*columns.items(), *(also or {}).items()]]
    is_text = BAD in raw.columns
    line = F.col(BAD) if is_text else F.lit(None).cast("string")
    number = F.monotonically_increasing_id().alias("row")
    rows = raw.select(number, line.alias("line"), file.alias("file"), *read, *absent)
    why = F.lit(None).cast("string")
    if is_text:  # Parquet's texts are what they are
        replaced = F.exists(F.array("file", *[F.col(f) for f in columns]), lambda v: v.contains("\ufffd"))
        why = F.when(F.col("line").isNotNull(), "metadata_unreadable").when(replaced, "metadata_not_utf8")
    # A column that nobody named may well be absent; one that the configuration names may not.
    named = {"file", *corpus.columns.model_fields_set}
    missing = tuple(sorted(name for field, name in wanted.items() if field in named and name not in names))
    described = frozenset(field for field, name in wanted.items() if name in names)
    return Metadata(rows.withColumn("bad", why), missing, described)


def wanted_fields() -> list[str]:
    """Return the declared columns of metadata but the file."""
    return [name for name in Columns.model_fields if name not in ("file", "image")]


def is_table_path(path: str) -> bool:
    """Return whether a path may be Parquet or Delta: it ends in .parquet, has no ending, or names a table."""
    name = path.rstrip("/").rpartition("/")[2]
    return name.lower().endswith(".parquet") or "." not in name or is_table_name(path) or Path(path).is_dir()


def _read_table(
    spark: SparkSession, corpus: Corpus, path: str, wanted: Mapping[str, str]
) -> tuple[DataFrame, list[str]]:
    """Return the wanted columns as text, and the names of those that are there."""
    raw = read_rows(spark, corpus.name, path)
    names = [name for name in wanted.values() if type_of(raw, name) is not None]
    texts = [text_of(raw, name).alias(name) for name in dict.fromkeys(names)]
    return raw.select(*texts), names


def _below(file: Column, corpus: Corpus, metadata: str) -> Column:
    """Return a file's path below the image folder, where it was given relative to the metadata's own folder."""
    inside, beside = remote_files.under(corpus.path), remote_files.under(metadata.rpartition("/")[0] or ".")
    full = F.concat(F.lit(beside), file)
    return F.when(full.startswith(inside), full.substr(F.lit(len(inside) + 1), F.length(full))).otherwise(file)


def _read_csv(spark: SparkSession, corpus: Corpus, path: str) -> tuple[DataFrame, list[str]]:
    reader = spark.read.options(multiLine=True, escape='"', mode="PERMISSIVE", columnNameOfCorruptRecord=BAD)
    reader = reader.options(header=corpus.header is None, sep="\t" if path.lower().endswith(".tsv") else ",")
    names = list(corpus.header or _read_or_explain(lambda: reader.csv(path).columns, corpus, path))
    return _read_or_explain(lambda: reader.schema(_strings([*names, BAD])).csv(path), corpus, path), names


def _read_jsonl(spark: SparkSession, corpus: Corpus, path: str) -> tuple[DataFrame, list[str]]:
    names = list(dict.fromkeys(wanted_columns(corpus).values()))
    reader = spark.read.options(mode="PERMISSIVE", columnNameOfCorruptRecord=BAD, encoding="UTF-8")
    raw = _read_or_explain(lambda: reader.schema(_strings([*names, BAD])).json(path), corpus, path)
    return raw, names


def read_texts(spark: SparkSession, corpus: Corpus, glob: str) -> DataFrame:
    """Return path and value, the whole text, of the files at any depth below the corpus's folder."""
    reader = spark.read.options(wholetext=True, recursiveFileLookup=True, pathGlobFilter=glob)
    texts = _read_or_explain(lambda: reader.text(corpus.path), corpus, corpus.path)
    return texts.withColumn("path", F.col("_metadata.file_path"))


def read_json(spark: SparkSession, corpus: Corpus, path: str, schema: str) -> DataFrame:
    """Return the rows of a file that is one JSON; one that cannot be parsed is a row of nulls with its text in _bad."""
    reader = spark.read.options(multiLine=True, mode="PERMISSIVE", columnNameOfCorruptRecord=BAD)
    return _read_or_explain(lambda: reader.schema(f"{schema}, {BAD} STRING").json(path), corpus, path)


def _read_or_explain(read: Callable[[], T], corpus: Corpus, path: str) -> T:
    try:
        return read()
    except AnalysisException as error:
        raise CorpusError(f"corpus '{corpus.name}': metadata must be a readable file. Got {path!r}.") from error


def _column(name: str, names: list[str]) -> Column:
    return F.col(f"`{name}`") if name in names else F.lit(None).cast("string")


def _strings(names: list[str]) -> t.StructType:
    return t.StructType([t.StructField(name, t.StringType()) for name in names])
