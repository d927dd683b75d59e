"""Reader `artbench`: paintings in a folder for each of ten genres, with ArtBench-10.csv where it is there."""

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

GENRES = (
    "art_nouveau", "baroque", "expressionism", "impressionism", "post_impressionism", "realism", "renaissance",
    "romanticism", "surrealism", "ukiyo_e",
)  # fmt: skip
EXPECTED = f"a folder with folders of the genres ({', '.join(GENRES)}), in it or up to two levels below"
# Of the CSV; the file is named without its folders.
CSV_COLUMNS = {"name", "artist", "label"}
FEWEST_GENRES = 3


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the paintings with artist and genre, by the CSV or else by their names."""
    check(corpus)
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    return described.describe_images(corpus, files, describe(spark, corpus, files.rows), "ArtBench-10.csv")


def describe(spark: SparkSession, corpus: Corpus, files: DataFrame) -> corpora.Metadata:
    """Return artist, title and genre of the paintings.

    The genre is the folder's name; without a CSV the artist is what a file's name, artist_title.jpg, begins with.
    """
    corpus = preset_columns(corpus, file="name", genre="label")
    table = corpus.metadata or find_table(corpus.path)
    names = files.select("source_key")
    if table is None:
        alone = F.element_at(F.split("source_key", "/"), -1)
        stem = F.regexp_replace(alone, described.ENDING, "")
        artist, title = (F.regexp_extract(stem, r"^([^_]+)_(.+)$", n) for n in (1, 2))
        columns = {
            "genre": F.try_element_at(F.split("source_key", "/"), F.lit(-2)),  # null where there is no folder
            "artist": F.when(artist != "", artist),
            "title": F.when(title != "", title),
        }
        known = list(corpora.wanted_columns(corpus).values())
        return corpora.as_metadata(corpus, names, F.col("source_key"), columns, known)
    read = corpora.read_metadata(spark, corpus.model_copy(update={"metadata": table}))
    rows = described.match_files(read.rows, "file", names)
    rows = rows.withColumn("file", F.coalesce("source_key", "file")).drop("source_key")
    return corpora.Metadata(rows, read.missing, read.fields)


def find_table(path: str) -> str | None:
    """Return the CSV of the paintings in a folder, None where there is none on this machine."""
    tables = peek.files_with(Path(path), ".csv") if Path(path).is_dir() else []
    return next((str(table) for table in tables if set(peek.text_head(table).columns) >= CSV_COLUMNS), None)


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and rows without one."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return described.count_described(names, describe(spark, corpus, names))


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return the file as source_key, and url, of the rows of the CSV."""
    names = corpora.list_images(spark, corpus, corpus.path, Ingest()).select("source_key")
    return described.described_addresses(describe(spark, corpus, names))


def check(corpus: Corpus) -> int | None:
    """Refuse another layout; the image files are to be counted."""
    fits = not is_local(corpus.path) or bool(find_genres(Path(corpus.path))) or corpus.fetch
    require_layout(fits, corpus, "path", EXPECTED)
    return None


def find_genres(path: Path) -> list[Path]:
    """Return the folders of the genres, in a folder or up to two levels below; none where there are too few."""
    level, genres = [path] if path.is_dir() else [], []
    for _ in range(3):
        below = [place for folder in level[:50] for place in sorted(folder.iterdir()) if place.is_dir()]
        genres += [place for place in below if place.name.replace("-", "_") in GENRES]
        level = [place for place in below if place not in genres]
    return genres if len({place.name for place in genres}) >= FEWEST_GENRES else []


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: how many paintings and genres, and the CSV."""
    folders = find_genres(path)
    if not folders:
        return None
    genres, table = {folder.name.replace("-", "_") for folder in folders}, find_table(str(path))
    head = peek.text_head(Path(table)) if table else None
    keys = {"path": str(path), **({"metadata": table} if table else {})}
    counts = {"genres": len(genres), "images": sum(map(count_images, folders))}
    missing = sorted(set(GENRES) - genres)
    faults = [f"no folder for {', '.join(missing)}"] if missing else []
    if table is None:
        faults.append("no ArtBench-10.csv in the folder: artist and title are taken from the files' names")
    columns, rows = ((), ()) if head is None else (head.columns, head.rows[:3])
    return Inspection(keys, "art", counts, columns, rows, tuple(faults))


READER = Reader(read, count_source_images, addresses=addresses, expects=EXPECTED, inspect=inspect, check=check)
