"""Reader `coco`: photographs with the captions of people, from captions_*.json of COCO."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Ingest
from twigma_spark.config.settings import Config
from twigma_spark.io import corpora, peek
from twigma_spark.io.local_files import is_local
from twigma_spark.stages.readers import described
from twigma_spark.stages.readers.inspection import Inspection, count_images, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames

EXPECTED = "a folder of images with captions_*.json in it or in its folder annotations, or metadata that is such a file"
# Ids are text: nothing is computed with them. What is not named here is skipped as it is parsed.
CAPTIONS = """
    images ARRAY<STRUCT<id: STRING, file_name: STRING, coco_url: STRING, date_captured: STRING>>,
    annotations ARRAY<STRUCT<id: BIGINT, image_id: STRING, caption: STRING>>
"""
# Of a JSON, where its kind is to be seen.
HEAD = 4096


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the photographs with the first caption of each."""
    check(corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    return described.describe_images(corpus, files, describe(spark, corpus, files.rows), Path(_table(corpus)).name)


def describe(spark: SparkSession, corpus: Corpus, files: DataFrame) -> corpora.Metadata:
    """Return the images of the JSON with the caption of the lowest id; an image without a file is missed."""
    corpus = preset_columns(corpus, file="file_name", url="coco_url", created_at="date_captured")
    whole = corpora.read_json(spark, corpus, _table(corpus), CAPTIONS)
    annotations = whole.select(F.explode("annotations").alias("it")).select("it.*")
    first = annotations.groupBy("image_id").agg(F.min_by(F.trim("caption"), "id").alias("caption"))
    images = whole.select(F.explode_outer("images").alias("it"), F.substring(corpora.BAD, 1, 200).alias(corpora.BAD))
    rows = images.select("it.*", corpora.BAD).join(first, F.col("id") == F.col("image_id"), "left")
    rows = described.match_files(rows, "file_name", files.select("source_key"))
    columns = {"url": F.col("coco_url"), "caption": F.col("caption"), "created_at": F.col("date_captured")}
    names = ["file_name", "coco_url", "caption", "date_captured"]
    return corpora.as_metadata(corpus, rows, F.coalesce("source_key", "file_name"), columns, names)


def _table(corpus: Corpus) -> str:
    captions = find_captions(Path(corpus.path))
    return corpus.metadata or str(captions[0] if captions else Path(corpus.path) / "annotations" / "captions.json")


def find_captions(path: Path) -> list[Path]:
    """Return the files of captions in a folder, or in its folder annotations."""
    places = [path, path / "annotations"] if path.is_dir() else []
    return [file for place in places for file in peek.files_with(place, ".json") if is_captions(file)]


def is_captions(file: Path) -> bool:
    """Return whether a file is called as COCO's captions are, and begins as a JSON object."""
    if not file.is_file() or not file.name.startswith("captions_"):
        return False
    with file.open("rb") as opened:
        return opened.read(HEAD).lstrip().startswith(b"{")


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and images of the JSON without one."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return described.count_described(names, describe(spark, corpus, names))


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return the file as source_key, and COCO's address of it."""
    names = corpora.list_images(spark, corpus, corpus.path, Ingest()).select("source_key")
    return described.described_addresses(describe(spark, corpus, names))


def check(corpus: Corpus) -> int | None:
    """Refuse another layout; the image files are to be counted."""
    key, path = ("metadata", corpus.metadata) if corpus.metadata else ("path", corpus.path)
    fits = not is_local(path) or is_captions(Path(path)) or bool(find_captions(Path(path)))
    require_layout(fits, corpus, key, EXPECTED)
    return None


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: the files of captions and the images."""
    tables = find_captions(path)
    if not tables:
        return None
    images = count_images(path)
    keys: dict[str, object] = {"path": str(path), "metadata": str(tables[0]), **({} if images else {"fetch": True})}
    more = [f"also there: {', '.join(file.name for file in tables[1:])}; a corpus of its own for each"] * (
        len(tables) > 1
    )
    none = [] if images else ["there is no image: fetch: true downloads them from COCO"]
    return Inspection(keys, "natural", {"images": images, "files of captions": len(tables)}, faults=(*more, *none))


READER = Reader(
    read,
    count_source_images,
    addresses=addresses,
    finds_metadata=True,
    expects=EXPECTED,
    inspect=inspect,
    check=check,
)
