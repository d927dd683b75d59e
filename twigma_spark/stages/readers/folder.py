"""Reader `folder`: images in a folder, with a CSV, JSONL, Parquet or Delta table that describes them, or without."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.data import Corpus
from twigma_spark.config.section import Role
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow, corpora, local_files, peek
from twigma_spark.io.frames import count_rows
from twigma_spark.stages.readers.described import count_described, describe_images, described_addresses
from twigma_spark.stages.readers.inspection import Inspection, columns_to_name, count_images, guess_columns
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates

EXPECTED = f"a folder of images ({', '.join(local_files.IMAGE_SUFFIXES)})"


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images of the folder, the posts in its metadata, and the lines of it that cannot be used."""
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    if corpus.metadata is None:
        images = candidates.limit_images(candidates.from_folder(files.rows, None), corpus.limit)
        return CorpusFrames(images, n_bytes=files.n_bytes)
    return describe_images(corpus, files, corpora.read_metadata(spark, corpus), corpus.metadata.rsplit("/", 1)[-1])


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and rows of the metadata without a file of their own."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return (
        count_rows(names) if corpus.metadata is None else count_described(names, corpora.read_metadata(spark, corpus))
    )


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return the file as source_key, and url, of the rows of the metadata that have both."""
    if corpus.metadata is None:
        return arrow.local_frame(spark, [], "source_key STRING, url STRING")
    return described_addresses(corpora.read_metadata(spark, corpus))


def inspect(path: Path, role: Role = "posts") -> Inspection | None:
    """Return what the reader sees of a folder of images, or of a file that describes some.

    They are how many images there are, and the metadata that is in the folder or beside it.
    """
    if path.is_file():
        head = read_names(path)
        beside = path.with_suffix("")
        return None if head is None else _inspect_folder(beside if beside.is_dir() else path.parent, role, path, head)
    return _inspect_folder(path, role, *find_metadata(path)) if path.is_dir() else None


def _inspect_folder(path: Path, role: Role, metadata: Path | None, head: peek.Head | None) -> Inspection | None:
    if not (images := count_images(path)):
        return None
    keys: dict[str, object] = {"path": str(path)}
    if metadata is None or head is None:
        return Inspection(keys, role, {"images": images})
    keys["metadata"] = str(metadata)
    if other := columns_to_name(guess_columns(head.columns)):
        keys["columns"] = other
    counts = {"images": images} if head.n_rows is None else {"images": images, "rows": head.n_rows}
    return Inspection(keys, role, counts, head.columns, head.rows[:3])


def find_metadata(folder: Path) -> tuple[Path | None, peek.Head | None]:
    """Return the first file in a folder or beside it that has a column of file names, and its beginning."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_file()]
    beside = [path for path in sorted(folder.parent.iterdir()) if path.is_file() and path.stem.startswith(folder.name)]
    for path in [*inside, *beside]:
        if (head := read_names(path)) is not None:
            return path, head
    return None, None


def read_names(file: Path) -> peek.Head | None:
    """Return the beginning of a file of rows that has a column of file names, None of any other."""
    suffix = file.suffix.lower()
    head = None
    if suffix in (*local_files.CSV_SUFFIXES, *local_files.JSON_SUFFIXES):
        head = peek.text_head(file)
    elif suffix == ".parquet":
        head = peek.readable_head([file])
    return head if head is not None and "file" in guess_columns(head.columns) else None


READER = Reader(read, count_source_images, addresses=addresses, expects=EXPECTED, inspect=inspect)
