"""Reader `laion`: Parquet files of addresses and captions, whose pictures `fetch` downloads."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import corpora, peek, vector_files
from twigma_spark.io.local_files import is_local
from twigma_spark.io.parquet_tables import read_rows, text_of, type_of
from twigma_spark.stages.readers import described
from twigma_spark.stages.readers.inspection import Inspection, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames

EXPECTED = "Parquet files with a column of addresses (URL or url)"
ADDRESSES = ("URL", "url", "image_url")
CAPTIONS = ("TEXT", "caption", "text", "top_caption")


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the pictures that were downloaded with their captions; one that is not there is ``missing_file``."""
    check(corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    named = corpora.ImageFiles(described.without_ending(files.rows), files.n_bytes)
    return described.describe_images(corpus, named, describe(spark, corpus), Path(_table(corpus)).name)


def describe(spark: SparkSession, corpus: Corpus) -> corpora.Metadata:
    """Return the rows, whose file is made of the address: 32 hex digits of its SHA-256, in folders by the first two."""
    rows = read_rows(spark, corpus.name, _table(corpus))
    first = {name: _first(rows, names) for name, names in (("url", ADDRESSES), ("caption", CAPTIONS))}
    corpus = preset_columns(corpus, **first)
    wanted = corpora.wanted_columns(corpus)
    there = [name for name in wanted.values() if type_of(rows, name) is not None]
    columns = {field: text_of(rows, name) for field, name in wanted.items() if field != "file" and name in there}
    if "url" not in columns:
        raise CorpusError(
            f"corpus '{corpus.name}': metadata must be {EXPECTED} for the reader laion. Got {', '.join(rows.columns)}."
        )
    if "sensitive" not in columns and (flag := described.flag_of(rows)) is not None:
        columns["sensitive"] = flag
    columns["url"] = F.trim(columns["url"])
    metadata = corpora.as_metadata(corpus, rows, name_of(columns["url"]), columns, [*there, wanted["file"]])
    bad = F.when(F.col("file").isNull(), "metadata_unreadable")
    line = F.when(F.col("file").isNull(), "a row without an address")
    return corpora.Metadata(metadata.rows.withColumns({"bad": bad, "line": line}), metadata.missing, metadata.fields)


def name_of(url: Column) -> Column:
    """Return the path of the picture of an address, without an ending; null where there is no address."""
    digits = F.substring(F.sha2(url, 256), 1, 32)
    return F.when(url != "", F.concat(F.substring(digits, 1, 2), F.lit("/"), digits))


def _first(rows: DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if type_of(rows, name) is not None), None)


def _table(corpus: Corpus) -> str:
    return str(corpus.metadata)


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many pictures there are, and rows without one."""
    names = described.without_ending(corpora.list_images(spark, corpus, corpus.path, cfg.ingest))
    return described.count_described(names.select("source_key"), describe(spark, corpus))


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return source_key, without an ending, and url of the rows."""
    check(corpus)
    return described.described_addresses(describe(spark, corpus))


def check(corpus: Corpus) -> int | None:
    """Refuse another layout; the image files are to be counted."""
    if corpus.metadata is None:
        raise CorpusError(
            f"corpus '{corpus.name}': metadata must be {EXPECTED} for the reader laion, and path the folder of the "
            "pictures. Got no metadata."
        )
    fits = not is_local(corpus.metadata) or inspect(Path(corpus.metadata)) is not None
    require_layout(fits or "url" in corpus.columns.model_fields_set, corpus, "metadata", EXPECTED)
    return None


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees of Parquet files with addresses and captions, and without pictures."""
    files = peek.parquet_files(path) if path.exists() else []
    head = peek.readable_head(files)
    if head is None or not set(ADDRESSES) & set(head.columns) or {"key", "status"} <= set(head.columns):
        return None
    folder = (path if path.is_dir() else path.parent) / "pictures"
    keys = {"path": str(folder), "metadata": str(path), "fetch": True}
    counts = {"rows": head.n_rows or 0, "files": len(files)}
    note = f"the folder above, {path.parent}, has vectors of these images: `twigma inspect` says how to take them"
    notes = (note,) if vector_files.has_vectors(path.parent) else ()
    return Inspection(keys, "natural", counts, head.columns, head.rows, notes)


READER = Reader(read, count_source_images, addresses=addresses, expects=EXPECTED, inspect=inspect, check=check)
