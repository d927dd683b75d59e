"""Readers of folders of images with CSV or JSONL metadata."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.config.data import Corpus
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, local_files

SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")
GLOB = "*.{" + ",".join("".join(f"[{c}{c.upper()}]" for c in suffix) for suffix in SUFFIXES) + "}"
BAD = "_bad"
T = TypeVar("T")


@dataclass(frozen=True)
class Metadata:
    """What a metadata file says.

    Attributes:
        rows: one row a line: `row` (its number), `bad` (why it cannot be used, else null), `line` (its text where
            it cannot be parsed), `file`, and the declared columns as strings, null where the file has none.
        missing: columns that the configuration names and the file lacks.
    """

    rows: DataFrame
    missing: tuple[str, ...]


def fingerprint(spark: SparkSession, corpora: tuple[Corpus, ...]) -> str:
    """Return a hash of the names, sizes and times of all files of the corpora; contents are not read."""
    named = [(corpus, path) for corpus in corpora for path in (corpus.path, corpus.metadata) if path]
    return "; ".join(
        local_files.fingerprint(path) or fingerprint_listed(_files(spark, corpus, path, "*")) for corpus, path in named
    )


def fingerprint_listed(files: DataFrame) -> str:
    """Return a hash of the names, sizes and times of files that Spark has listed."""
    each = F.xxhash64("path", "length", "modificationTime").cast("decimal(38,0)").alias("seen")
    total, number = files.select(each).agg(F.sum("seen"), F.count("*")).collect()[0]
    return f"{number} files, {total}"


def under(path: str) -> str:
    """Return `path` as Spark prints it inside a file's path: absolute, without a scheme, with a slash."""
    local = path if "://" in path or path.startswith("dbfs:") else os.path.normpath(Path(path).absolute())
    return local.split("://", 1)[-1].removeprefix("dbfs:").rstrip("/") + "/"


def read_images(spark: SparkSession, corpus: Corpus, path: str, max_bytes: int) -> DataFrame:
    """Return the image files below `path`: source_key (path below it), n_bytes, content.

    A file of more than `max_bytes` has a null content: it is never read into memory.
    """
    listed = _files(spark, corpus, path, GLOB)
    large = listed.where(F.col("length") > max_bytes)
    found = listed.where(F.col("length") <= max_bytes).select("path", "length", "content")
    # What this machine's own listing shows, no job has to find out.
    sizes = local_files.smallest_and_largest(path)
    if sizes[1] > max_bytes if sizes else not large.select("path").isEmpty():
        unread = F.lit(None).cast("binary").alias("content")
        found = found.unionByName(large.select("path", "length", unread))
    if sizes is None or sizes[0] == 0:
        found = found.unionByName(_empty(listed))
    return found.select(_below_path(path).alias("source_key"), F.col("length").alias("n_bytes"), "content")


def list_images(spark: SparkSession, corpus: Corpus, path: str) -> DataFrame:
    """Return the source_key of each image file below `path`; contents are not read."""
    listed = _files(spark, corpus, path, GLOB)
    return (
        listed.select("path").unionByName(_empty(listed).select("path")).select(_below_path(path).alias("source_key"))
    )


def read_metadata(spark: SparkSession, corpus: Corpus) -> Metadata:
    """Return the corpus's metadata, from CSV (with a header, or with `header` as configured) or JSONL.

    Raises:
        CorpusError: where the file does not exist or is of another kind.
    """
    path = str(corpus.metadata)
    if path.endswith((".jsonl", ".ndjson")):
        raw, names = _read_jsonl(spark, corpus, path)
    elif path.endswith((".csv", ".tsv")):
        raw, names = _read_csv(spark, corpus, path)
    else:
        raise CorpusError(f"corpus '{corpus.name}': metadata must be a .csv, .tsv or .jsonl file. Got {path!r}.")
    wanted = {field: name for field, name in corpus.columns.model_dump().items() if name is not None}
    columns = [_column(name, names).alias(field) for field, name in wanted.items()]
    columns[0] = _below(columns[0], corpus, path).alias("file")
    absent = [F.lit(None).cast("string").alias(field) for field in corpus.columns.model_dump() if field not in wanted]
    rows = raw.select(F.monotonically_increasing_id().alias("row"), F.col(BAD), *columns, *absent)
    replaced = F.exists(F.array(*[F.col(f) for f in wanted]), lambda v: v.contains("\ufffd"))
    why = F.when(F.col(BAD).isNotNull(), "metadata_unreadable").when(replaced, "metadata_not_utf8")
    # A column that nobody named may well be absent; one that the configuration names may not.
    named = {"file", *corpus.columns.model_fields_set}
    missing = tuple(sorted(name for field, name in wanted.items() if field in named and name not in names))
    return Metadata(rows.withColumn("bad", why).withColumnRenamed(BAD, "line"), missing)


def _below(file: Column, corpus: Corpus, metadata: str) -> Column:
    """Return a file's path below the image folder, where it was given relative to the metadata's own folder."""
    inside, beside = under(corpus.path), under(metadata.rpartition("/")[0] or ".")
    full = F.concat(F.lit(beside), file)
    return F.when(full.startswith(inside), full.substr(F.lit(len(inside) + 1), F.length(full))).otherwise(file)


def _files(spark: SparkSession, corpus: Corpus, path: str, glob: str) -> DataFrame:
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", glob)
    try:
        return reader.load(path)
    except AnalysisException as error:
        raise CorpusError(
            f"corpus '{corpus.name}': path must be an existing file or folder. Got {path!r}; see conf/folder.yaml."
        ) from error


def _empty(listed: DataFrame) -> DataFrame:
    """Return path, length and content of the files of 0 bytes, which Spark lists but leaves out when it reads."""
    names, paths = [unquote(uri) for uri in listed.inputFiles()], listed.select("path")
    empty: list[tuple[str, int, bytes]] = []
    if paths.count() < len(names):
        read = {_without_scheme(row["path"]) for row in paths.collect()}
        empty = [(name, 0, b"") for name in names if _without_scheme(name) not in read]
    return arrow.local_frame(listed.sparkSession, empty, "path STRING, length BIGINT, content BINARY")


def _below_path(path: str) -> Column:
    """Return the part of the column `path` that lies below the folder."""
    inside = under(path)
    return F.expr(f"substring(path, instr(path, {_literal(inside)}) + {len(inside)})")


def _without_scheme(path: str) -> str:
    """Return what names a file in both of Spark's spellings, file:/a and file:///a."""
    return re.sub(r"^\w+:/+", "/", path)


def _read_csv(spark: SparkSession, corpus: Corpus, path: str) -> tuple[DataFrame, list[str]]:
    reader = spark.read.options(multiLine=True, escape='"', mode="PERMISSIVE", columnNameOfCorruptRecord=BAD)
    reader = reader.options(header=corpus.header is None, sep="\t" if path.endswith(".tsv") else ",")
    names = list(corpus.header or _checked(lambda: reader.csv(path).columns, corpus, path))
    return _checked(lambda: reader.schema(_strings([*names, BAD])).csv(path), corpus, path), names


def _read_jsonl(spark: SparkSession, corpus: Corpus, path: str) -> tuple[DataFrame, list[str]]:
    names = [name for name in corpus.columns.model_dump().values() if name is not None]
    reader = spark.read.options(mode="PERMISSIVE", columnNameOfCorruptRecord=BAD, encoding="UTF-8")
    raw = _checked(lambda: reader.schema(_strings([*names, BAD])).json(path), corpus, path)
    return raw, names


def _checked(read: Callable[[], T], corpus: Corpus, path: str) -> T:
    try:
        return read()
    except AnalysisException as error:
        raise CorpusError(f"corpus '{corpus.name}': metadata must be a readable file. Got {path!r}.") from error


def _column(name: str, names: list[str]) -> Column:
    return F.col(f"`{name}`") if name in names else F.lit(None).cast("string")


def _strings(names: list[str]) -> t.StructType:
    return t.StructType([t.StructField(name, t.StringType()) for name in names])


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
