"""Reader `diffusiondb`: folders part-000001 and so on, described by metadata.parquet or by a JSON in each."""

from __future__ import annotations

import re
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import corpora, local_files, peek
from twigma_spark.io.parquet_tables import read_rows, text_of, type_of
from twigma_spark.stages.readers import described
from twigma_spark.stages.readers.inspection import Inspection, count_images, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames

EXPECTED = "a folder with the unpacked folders part-000001, part-000002 and so on, in it or one level below"
PART = re.compile(r"^part-\d{6}$")
TABLES = ("metadata.parquet", "metadata-large.parquet")
# Of the JSON of a part, by name of an image: its prompt, and what it was made with.
PART_JSON = "MAP<STRING, STRUCT<p: STRING, sa: STRING, se: STRING, st: STRING, c: STRING>>"


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images of the parts that are there, with their prompts and times."""
    check(corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    return described.describe_images(corpus, files, describe(spark, corpus, files.rows), _name(corpus))


def describe(spark: SparkSession, corpus: Corpus, files: DataFrame) -> corpora.Metadata:
    """Return what is known of the images of the parts that are there; the others' rows are not missed."""
    corpus = preset_columns(corpus, file="image_name", prompt="prompt", created_at="timestamp")
    table = corpus.metadata or find_table(corpus.path)
    names = files.select("source_key")
    part = F.regexp_extract("source_key", r"part-(\d{6})/[^/]*$", 1).cast("int")
    here = names.select(part.alias("here")).where("here IS NOT NULL").distinct()
    rows = read_rows(spark, corpus.name, table) if table else corpora.read_texts(spark, corpus, "part-*.json")
    rows = rows if table else _explode(rows)
    rows = rows.join(F.broadcast(here), F.col("part_id") == F.col("here"), "left_semi")
    rows = described.match_files(rows, "image_name", names)
    absent = F.format_string("part-%06d/%s", F.col("part_id").cast("int"), "image_name")
    wanted = corpora.wanted_columns(corpus)
    there = [name for name in wanted.values() if type_of(rows, name) is not None]
    columns = {field: text_of(rows, name) for field, name in wanted.items() if field != "file" and name in there}
    if "prompt_id" not in columns:  # images of one prompt are no independent ones
        columns["prompt_id"] = _prompt_id(columns["prompt"])
    return corpora.as_metadata(corpus, rows, F.coalesce("source_key", absent), columns, there)


def _prompt_id(prompt: Column) -> Column:
    return F.substring(F.sha2(F.trim(prompt), 256), 1, 16)


def _explode(texts: DataFrame) -> DataFrame:
    """Return image_name, part_id and prompt of the images that the JSONs of the parts name."""
    parsed = F.from_json("value", PART_JSON)
    part = F.regexp_extract("path", r"part-(\d+)\.json$", 1).cast("int").alias("part_id")
    images = texts.select(part, parsed.alias("parsed"), "value", "path").select(
        "part_id", F.explode_outer("parsed").alias("image_name", "of_it"), "value", "parsed"
    )
    bad = F.when(F.col("parsed").isNull(), F.substring("value", 1, 200)).alias(corpora.BAD)
    return images.select("image_name", "part_id", F.col("of_it.p").alias("prompt"), bad)


def find_table(path: str) -> str | None:
    """Return the table of metadata in a folder or one above it, None where there is none on this machine."""
    folder = Path(path)
    places = [place / name for place in (folder, folder.absolute().parent) for name in TABLES]
    return next((str(place) for place in places if place.is_file()), None)


def _name(corpus: Corpus) -> str:
    return Path(corpus.metadata or find_table(corpus.path) or "part-*.json").name


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and rows of their parts without a file."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return described.count_described(names, describe(spark, corpus, names))


def check(corpus: Corpus) -> int | None:
    """Refuse another layout, and parts that are still packed; the image files are to be counted."""
    parts, packed = find_parts(Path(corpus.path)), find_packed(Path(corpus.path))
    if packed and not parts:
        raise CorpusError(
            f"corpus '{corpus.name}': path must be {EXPECTED} for the reader {corpus.reader}. Got {len(packed):,} "
            f"packed parts such as {packed[0].name}: unpack each into a folder of its name."
        )
    require_layout(bool(parts) or not local_files.is_local(corpus.path), corpus, "path", EXPECTED)
    return None


def find_parts(path: Path) -> list[Path]:
    """Return the folders of the parts, in a folder or one level below."""
    return [place for place in _two_levels(path) if PART.match(place.name) and place.is_dir()]


def find_packed(path: Path) -> list[Path]:
    """Return the parts that are still zips, in a folder or one level below."""
    return [place for place in _two_levels(path) if place.suffix == ".zip" and PART.match(place.stem)]


def _two_levels(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    first = sorted(path.iterdir())
    folders = [place for place in first if place.is_dir() and not PART.match(place.name) and place.name[0] != "."]
    return [*first, *(entry for place in folders[:100] for entry in sorted(place.iterdir())[: peek.MOST_FILES])]


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: the parts, their images and the table of metadata, where it is there."""
    parts, packed = find_parts(path), find_packed(path)
    if not parts and not packed:
        return None
    table = find_table(str(path))
    head = peek.readable_head([Path(table)]) if table else None
    faults = [f"{len(packed):,} parts are still packed: {packed[0].name}"] if packed else []
    without = [part.name for part in parts if not (part / f"{part.name}.json").is_file()]
    if table is None and without:
        faults.append(f"no prompts for {len(without):,} parts: there is neither metadata.parquet nor {without[0]}.json")
    keys = {"path": str(path), **({"metadata": table} if table else {})}
    counts = {"parts": len(parts), "images": sum(map(count_images, parts))}
    rows = {} if head is None or head.n_rows is None else {"rows": head.n_rows}
    columns, first = ((), ()) if head is None else (head.columns, head.rows)
    return Inspection(keys, "generated", {**counts, **rows}, columns, first, tuple(faults))


READER = Reader(read, count_source_images, expects=EXPECTED, inspect=inspect, check=check)
