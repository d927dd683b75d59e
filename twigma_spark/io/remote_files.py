"""Files that are not on this machine: s3a://, dbfs:/ and other URLs, listed and read by Spark."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows
from twigma_spark.io.local_files import IMAGE_SUFFIXES, is_image
from twigma_spark.io.session import glob_files, has_hadoop, list_tree

IMAGES = "*.{" + ",".join("".join(f"[{c}{c.upper()}]" for c in suffix) for suffix in IMAGE_SUFFIXES) + "}"
LISTED = "path STRING, length BIGINT, content BINARY"
ALL = "*"


class RemoteFile(NamedTuple):
    """A file that Hadoop lists.

    Attributes:
        path: whole, with its scheme, as Spark prints it.
        key: below the folder that was listed.
        n_bytes: its size.
        changed: time of its last change, in milliseconds since 1970.
    """

    path: str
    key: str
    n_bytes: int
    changed: int


class HiddenFile(NamedTuple):
    """A file that Spark leaves out of every listing.

    Attributes:
        path: whole, with its scheme.
        n_bytes: its size.
    """

    path: str
    n_bytes: int


def list_by_spark(spark: SparkSession, corpus: str, path: str, glob: str = ALL) -> DataFrame:
    """Return path, modificationTime, length and content of the files at and below `path`, hidden ones left out.

    Args:
        spark: the session.
        corpus: its name, for the error.
        path: a file or a folder.
        glob: pattern of the names.

    Raises:
        CorpusError: there is nothing at `path`.
    """
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", glob)
    try:
        return reader.load(path)
    except AnalysisException as error:
        raise CorpusError(
            f"corpus '{corpus}': path must be an existing file or folder. Got {path!r}; see conf/folder.yaml."
        ) from error


def list_by_hadoop(spark: SparkSession, corpus: str, path: str) -> list[RemoteFile] | None:
    """Return all files at and below `path`, hidden ones among them; None under Spark Connect, which cannot tell.

    Spark's own listing asks a storage of objects for each file once more when a column of it is read.

    Raises:
        CorpusError: there is nothing at `path`.
    """
    if not has_hadoop(spark):
        return None
    try:
        listed, inside = list_tree(spark, path), under(path)
    except FileNotFoundError as error:
        raise CorpusError(
            f"corpus '{corpus}': path must be an existing file or folder. Got {path!r}; see conf/folder.yaml."
        ) from error
    keys = (each[0].partition(inside)[2] or each[0].rpartition("/")[2] for each in listed)
    return sorted(RemoteFile(each[0], key, *each[1:]) for key, each in zip(keys, listed, strict=True))


def list_names(spark: SparkSession, corpus: str, path: str) -> list[str]:
    """Return the paths of the image files below `path`, hidden ones among them, as Spark itself lists them."""
    names = [unquote(uri) for uri in list_by_spark(spark, corpus, path, IMAGES).inputFiles()]
    return names + [file.path for file in list_hidden_images(spark, path)]


def with_contents(candidates: DataFrame, corpus: str, path: str, max_bytes: int) -> DataFrame:
    """Return candidates whose `path` is a URL with their contents, which Spark reads once each, and without it.

    Args:
        candidates: has path, n_bytes, content, reason and detail.
        corpus: its name, for the error.
        path: the folder that they are below.
        max_bytes: of a file that is read.
    """
    files = list_by_spark(candidates.sparkSession, corpus, path, IMAGES).where(F.col("length") <= max_bytes)
    contents = files.select(F.col("path").cast("binary").alias("path"), F.col("content").alias("_content"))
    # Spark reads no file of 0 bytes.
    content = F.when(F.col("path").isNotNull() & (F.col("n_bytes") == 0), F.lit(b"")).otherwise(F.col("_content"))
    gone = F.col("path").isNotNull() & content.isNull()
    return candidates.join(contents, "path", "left").withColumns(
        {
            "content": content,
            "reason": F.when(gone, "unreadable_file").otherwise(F.col("reason")),
            "detail": F.when(gone, "gone since it was listed").otherwise(F.col("detail")),
            "path": F.lit(None).cast("binary"),
        }
    ).select(*candidates.columns)  # fmt: skip


def list_hidden_images(spark: SparkSession, path: str) -> list[HiddenFile]:
    """Return the image files below `path` that Spark does not list: `_a.jpg`, `.b.png`, and all in folders so called.

    Hadoop's patterns find them, a level of folders after the other, so that only what is found travels to Python.
    Spark Connect gives no access to Hadoop: there, none is found.
    """
    files: dict[str, HiddenFile] = {}
    for depth in _depths(spark, path):
        for level in range(depth):
            hidden = [*["*"] * level, "[_.]*", *["*"] * (depth - 1 - level)]
            for file in glob_files(spark, "/".join([path.rstrip("/"), *hidden])):
                if file.isFile() and is_image(file.getPath().getName()):
                    whole = str(file.getPath().toString())
                    files[whole] = HiddenFile(whole, file.getLen())
    return [file for file in files.values() if is_hidden(file.path.partition(under(path))[2])]


def is_hidden(key: str) -> bool:
    """Return whether Spark leaves out a file for its name or that of a folder above it.

    It does so where a name begins with ``.``, or with ``_`` and has no ``=`` (InMemoryFileIndex).
    """
    return any(name.startswith(".") or (name.startswith("_") and "=" not in name) for name in key.split("/"))


def list_empty(listed: DataFrame) -> DataFrame:
    """Return path, length and content of the files of 0 bytes, which Spark lists but leaves out when it reads."""
    names, paths = [unquote(uri) for uri in listed.inputFiles()], listed.select("path")
    empty: list[tuple[str, int, bytes]] = []
    if count_rows(paths) < len(names):
        read = {without_scheme(row["path"]) for row in paths.collect()}
        empty = [(name, 0, b"") for name in names if without_scheme(name) not in read]
    return arrow.local_frame(listed.sparkSession, empty, LISTED)


def fingerprint(files: DataFrame, hidden: list[HiddenFile]) -> str:
    """Return a hash of the names, sizes and times of files that Spark has listed, and of the hidden ones."""
    each = F.xxhash64("path", "length", "modificationTime").cast("decimal(38,0)").alias("seen")
    total, number = files.select(each).agg(F.sum("seen"), F.count("*")).collect()[0]
    return f"{number} files, {total}" + (f", hidden {sorted(hidden)}" if hidden else "")


def under(path: str) -> str:
    """Return `path` as Spark prints it inside a file's path: absolute, without a scheme, with a slash."""
    local = path if "://" in path or path.startswith("dbfs:") else os.path.normpath(Path(path).absolute())
    return local.split("://", 1)[-1].removeprefix("dbfs:").rstrip("/") + "/"


def below(path: str) -> Column:
    """Return the part of the column `path` that lies below the folder."""
    inside = under(path)
    return F.expr(f"substring(path, instr(path, {_literal(inside)}) + {len(inside)})")


def without_scheme(path: str) -> str:
    """Return what names a file in both of Spark's spellings, file:/a and file:///a."""
    return re.sub(r"^\w+:/+", "/", path)


def _depths(spark: SparkSession, path: str) -> Iterator[int]:
    """Yield 1, 2 and so on, as long as there is something so many levels below a folder."""
    depth = 1
    while len(glob_files(spark, path.rstrip("/") + "/*" * depth)):
        yield depth
        depth += 1


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
