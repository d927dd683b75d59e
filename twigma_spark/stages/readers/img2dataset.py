"""Reader `img2dataset`: what the downloader img2dataset writes, as tars (WebDataset), as Parquet or as files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io import archives, corpora, peek, remote_files
from twigma_spark.io.frames import count_rows
from twigma_spark.io.local_files import is_local
from twigma_spark.io.parquet_tables import read_rows, text_of, type_of
from twigma_spark.stages.readers import described, table
from twigma_spark.stages.readers.inspection import Inspection, count_images, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates

EXPECTED = "a folder of .tar files of images, or of .parquet files with the columns key and status"
ENCODINGS = ("jpg", "png", "webp")
SUCCESS = "success"
# Parquet files whose rows are counted by status without Spark.
MOST_TABLES = 100
IS_FAILURE = f"status <> '{SUCCESS}'"


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images and what is known of them; a picture that could not be downloaded is ``missing_file``."""
    corpus = _with_columns(corpus)
    form = _form(spark, corpus)
    if form == "parquet":
        rows = read_rows(spark, corpus.name, corpus.path)
        return table.read_pictures(cfg, _with_image(corpus, rows), rows, F.col("key"), _failure(rows))
    if form == "webdataset":
        return _read_tars(spark, corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    return described.describe_images(corpus, files, _describe_files(spark, corpus, files.rows), "metadata")


def _with_columns(corpus: Corpus) -> Corpus:
    return preset_columns(corpus, file="key", image="jpg", url="url", caption="caption")


def _with_image(corpus: Corpus, rows: DataFrame) -> Corpus:
    """Return the corpus with the column of pictures, which is named by its encoding."""
    there = next((name for name in ENCODINGS if type_of(rows, name) is not None), corpus.columns.image)
    named = corpus.columns.model_fields_set
    return corpus if "image" in named else preset_columns(corpus, **{**corpus.columns.model_dump(), "image": there})


def _form(spark: SparkSession, corpus: Corpus) -> str:
    """Return how the images lie: webdataset, parquet or files."""
    if not is_local(corpus.path):
        if remote_files.list_by_spark(spark, corpus.name, corpus.path, "*.tar").inputFiles():
            archives.list_tars(corpus.name, corpus.path)  # which says why not
        rows = read_rows(spark, corpus.name, corpus.path)
        return "parquet" if any(type_of(rows, name) is not None for name in ENCODINGS) else "files"
    form = form_of(Path(corpus.path))
    require_layout(form is not None, corpus, "path", EXPECTED)
    return str(form)


def form_of(path: Path) -> str | None:
    """Return how the images of a folder lie, None where img2dataset does not write so."""
    if not path.is_dir():
        return None
    if peek.files_with(path, ".tar"):
        return "webdataset"
    files = peek.files_with(path, ".parquet")
    head = peek.readable_head(files[:1])
    if head is None or not {"key", "status"} <= set(head.columns):
        return None
    return "parquet" if any(name in head.columns for name in ENCODINGS) else "files"


def _failure(rows: DataFrame) -> Column:
    """Return why a picture was not downloaded, as text."""
    return F.concat_ws(": ", text_of(rows, "status"), text_of(rows, "error_message"))


def _read_tars(spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    wanted = corpora.wanted_columns(corpus)
    columns = {name: wanted[name] for name in candidates.DESCRIBED if name in wanted}
    tars = archives.list_tars(corpus.name, corpus.path)
    members = archives.read_members(spark, tars, columns)
    images = candidates.complete(members)
    if (failed := _failures(spark, corpus)) is not None:
        images = images.unionByName(candidates.complete(failed))
    return CorpusFrames(
        candidates.limit_images(images, corpus.limit),
        _rejected_texts(members, corpus),
        n_bytes=sum(tar.stat().st_size for tar in tars),
    )


def _rejected_texts(members: DataFrame, corpus: Corpus) -> DataFrame:
    """Return the JSONs beside images that cannot be parsed, and their values that cannot be used."""
    absent = {name: F.lit(None).cast("string") for name in candidates.DESCRIBED if name not in members.columns}
    unparsed = F.when(F.col("bad").isNotNull(), "metadata_unreadable")
    names = {"line": F.col("bad"), "file": F.col("source_key"), "bad": unparsed}
    rows = members.where("reason IS NULL").withColumns({**absent, **names})
    rejects = candidates.unreadable_metadata(rows, "", F.col("source_key"))
    return rejects.withColumn("corpus", F.lit(corpus.name))


def _failures(spark: SparkSession, corpus: Corpus) -> DataFrame | None:
    """Return the pictures that could not be downloaded, which are in the Parquet files beside the tars alone."""
    files = peek.files_with(Path(corpus.path), ".parquet")
    head = peek.readable_head(files[:1])
    if head is None or not {"key", "status"} <= set(head.columns):
        return None
    rows = read_rows(spark, corpus.name, corpus.path)
    shard = F.regexp_replace(F.col("_metadata.file_name"), r"\.parquet$", ".tar/")
    return rows.where(IS_FAILURE).select(
        F.concat(shard, F.col("key")).alias("source_key"),
        F.lit("missing_file").alias("reason"),
        _failure(rows).alias("detail"),
        text_of(rows, corpora.wanted_columns(corpus).get("caption")).alias("caption"),
    )


def _describe_files(spark: SparkSession, corpus: Corpus, files: DataFrame) -> corpora.Metadata:
    """Return the rows of the Parquet files as metadata of the image files, whose names begin with their keys."""
    rows = described.match_files(read_rows(spark, corpus.name, corpus.path), "key", files)
    wanted = corpora.wanted_columns(corpus)
    there = [name for name in wanted.values() if type_of(rows, name) is not None]
    columns = {field: text_of(rows, name) for field, name in wanted.items() if field != "file" and name in there}
    return corpora.as_metadata(corpus, rows, F.coalesce("source_key", "key"), columns, there)


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many images there are, and rows of pictures that could not be downloaded."""
    form = _form(spark, corpus)
    if form == "parquet":
        return count_rows(read_rows(spark, corpus.name, corpus.path))
    if form == "webdataset":
        failed = _failures(spark, corpus)
        return _count_members(spark, corpus) + (0 if failed is None else count_rows(failed))
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest)
    return described.count_described(names, _describe_files(spark, _with_columns(corpus), names))


def _count_members(spark: SparkSession, corpus: Corpus) -> int:
    counts = archives.count_images(spark, archives.list_tars(corpus.name, corpus.path))
    return int(counts.agg(F.sum("images")).collect()[0][0] or 0)


def check(corpus: Corpus) -> int | None:
    """Return how many images there are: rows of the Parquet files, or images in the first tar for each of the tars."""
    form = form_of(Path(corpus.path))
    require_layout(form is not None, corpus, "path", EXPECTED)
    return None if form == "files" else _count(Path(corpus.path), str(form))


def _count(path: Path, form: str) -> int:
    if form == "parquet":
        return peek.parquet_head(peek.files_with(path, ".parquet")).n_rows or 0
    tars = peek.files_with(path, ".tar")
    return archives.count_members(tars[0]) * len(tars)


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: tars, Parquet files and how many pictures could not be downloaded."""
    if (form := form_of(path)) is None:
        return None
    tars, tables = peek.files_with(path, ".tar"), peek.files_with(path, ".parquet")
    head = peek.readable_head(tables)
    if form == "files":
        counts = {"images": count_images(path)}
    elif form == "parquet":
        counts = {"rows": _count(path, form)}
    else:
        counts = {"tars": len(tars), "images, by the first tar": _count(path, form)}
    faults = tuple(_faults(tars, tables))
    columns, rows = (head.columns, head.rows) if head is not None else _first_members(tars[0])
    return Inspection({"path": str(path)}, "natural", counts, columns, rows, faults)


def _first_members(tar: Path) -> tuple[tuple[str, ...], tuple[dict[str, str], ...]]:
    """Return the columns and the first rows of the texts beside the images of a tar without a Parquet file."""
    names = {name: name for name in candidates.DESCRIBED}
    first = list(islice(archives.members_of(tar, names), peek.PARQUET_ROWS))
    rows = tuple({"image": member.source_key, **member.texts} for member in first)
    return tuple(dict.fromkeys(name for row in rows for name in row)), rows


def _faults(tars: list[Path], tables: list[Path]) -> Iterator[str]:
    """Yield how many pictures could not be downloaded, and which tars are empty."""
    heads = {file: peek.readable_head([file]) for file in tables[:MOST_TABLES]}
    status = [peek.count_values(file, "status") for file, head in heads.items() if head and "status" in head.columns]
    failed = sum(n for counts in status for value, n in counts.items() if value != SUCCESS)
    if failed:
        yield f"{failed:,} of {sum(map(sum, (c.values() for c in status))):,} pictures could not be downloaded: rejects"
    if empty := [tar.name for tar in tars if tar.stat().st_size == 0]:
        yield f"tars without a byte: {', '.join(empty[:5])}"


READER = Reader(read, count_source_images, expects=EXPECTED, inspect=inspect, check=check)
