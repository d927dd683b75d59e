"""Reader `twigma`: the CSV of TWIGMA's release (Chen & Zou 2023) or of `twigma release`, with images if there are."""

from __future__ import annotations

import re
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Ingest
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import corpora, local_files, peek, post_ids
from twigma_spark.stages.readers import described
from twigma_spark.stages.readers.inspection import Inspection, count_images, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames

EXPECTED = "a CSV, or a folder of them, with the columns id and image_name"
# Where X serves the pictures of posts.
MEDIA = "https://pbs.twimg.com/media/"
DAMAGED = "id_damaged"


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images that are in the folder, the posts, and the rows without an image.

    Raises:
        CorpusError: ids that went through floating-point numbers.
    """
    check(corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    metadata = describe(spark, corpus, files.rows)
    return described.describe_images(corpus, files, metadata, Path(_table(corpus)).name)


def describe(spark: SparkSession, corpus: Corpus, files: DataFrame) -> corpora.Metadata:
    """Return the rows of the release, each with the file that it names; a damaged id further down is a reject."""
    read = corpora.read_metadata(spark, _with_columns(corpus))
    rows = described.match_files(read.rows, "file", files.select("source_key"))
    damaged = F.col("post_id").rlike(post_ids.DAMAGED)
    bad = {"bad": F.coalesce("bad", F.when(damaged, DAMAGED)), "file": F.coalesce("source_key", "file")}
    return corpora.Metadata(rows.withColumns(bad).drop("source_key"), read.missing, read.fields)


def _with_columns(corpus: Corpus) -> Corpus:
    names = preset_columns(
        corpus, file="image_name", post_id="id", caption="all_captions", sensitive="possibly_sensitive"
    )
    return names.model_copy(update={"metadata": _table(corpus)})


def _table(corpus: Corpus) -> str:
    """Return the CSV files: of a folder all that it has."""
    path = corpus.metadata or corpus.path
    if Path(path).is_dir():
        return str((_csvs(Path(path)) or [Path(path)])[0].parent / "*.csv")
    return path


def _csvs(path: Path) -> list[Path]:
    """Return a CSV, those of a folder, or those of the folder `data` of a release."""
    return peek.files_with(path, ".csv") or peek.files_with(path / "data", ".csv")


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and rows without a file of their own."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return described.count_described(names, describe(spark, corpus, names))


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return where X serves the pictures: source_key and url of the rows whose name is no path."""
    check(corpus)
    names = corpora.list_images(spark, corpus, corpus.path, Ingest()).select("source_key")
    metadata = describe(spark, corpus, names)
    plain = F.when(F.col("file").rlike(r"^[\w.-]+$"), F.concat(F.lit(MEDIA), "file"))
    rows = metadata.rows.withColumn("url", F.coalesce("url", plain))
    return described.described_addresses(corpora.Metadata(rows, metadata.missing, metadata.fields))


def check(corpus: Corpus) -> int | None:
    """Refuse another layout, and ids that a program has damaged; the image files are to be counted.

    Raises:
        CorpusError: says which, and the way out.
    """
    key, path = ("metadata", corpus.metadata) if corpus.metadata else ("path", corpus.path)
    if not local_files.is_local(path):
        return None
    inspection = inspect(Path(path), corpus.columns.file if "file" in corpus.columns.model_fields_set else "image_name")
    require_layout(inspection is not None, corpus, key, EXPECTED)
    if fault := next((fault for fault in map(_damage, _csvs(Path(path))) if fault is not None), None):
        raise CorpusError(f"corpus '{corpus.name}': {key} must have whole ids for the reader twigma. {fault}")
    return None if count_images(Path(corpus.path)) else 0


def inspect(path: Path, file: str = "image_name") -> Inspection | None:
    """Return what the reader sees of a released CSV: its columns, first rows, and whether ids are damaged."""
    tables = _csvs(path)
    head = peek.text_head(tables[0]) if tables else None
    if head is None or not {"id", file} <= set(head.columns):
        return None
    folder = path if path.is_dir() else path.parent
    images = count_images(folder)
    keys: dict[str, object] = {"path": str(folder), "metadata": str(path)}
    faults = [fault for fault in map(_damage, tables[:1]) if fault]
    if not images:
        keys["fetch"] = True
        faults.append("there is no image: fetch: true asks X for each; path is the folder where they go")
    counts = {"files": len(tables), "images": images, **({} if head.n_rows is None else {"rows": head.n_rows})}
    return Inspection(keys, "posts", counts, head.columns, head.rows[:3], tuple(faults))


def _damage(table: Path) -> str | None:
    """Return what is wrong with the ids at the beginning of a CSV, and what to do."""
    ids = [row.get("id", "") for row in peek.text_head(table).rows]
    float_id = next((name for name in ids if re.match(post_ids.DAMAGED, name)), None)
    seen = repr(float_id) if float_id else post_ids.find_rounding(ids)
    return None if seen is None else f"Got {seen} in {table.name}: {post_ids.WAY_OUT}."


READER = Reader(
    read,
    count_source_images,
    addresses=addresses,
    finds_metadata=True,
    expects=EXPECTED,
    inspect=inspect,
    check=check,
)
