"""Images in a folder and the rows that describe them: what the readers of such corpora share."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.io import arrow
from twigma_spark.io.corpora import ImageFiles, Metadata
from twigma_spark.io.frames import count_rows
from twigma_spark.schemas import POSTS
from twigma_spark.stages.readers.reader import CorpusFrames
from twigma_spark.transforms import candidates, posts_in_folder

ENDING = r"\.[A-Za-z]{3,4}$"
USABLE = "bad IS NULL AND file IS NOT NULL"


def describe_images(corpus: Corpus, files: ImageFiles, described: Metadata, name: str) -> CorpusFrames:
    """Return the images with what describes them, their posts, and the rows that cannot be used.

    Args:
        corpus: read.
        files: of its folder.
        described: rows whose file is a source_key.
        name: of the metadata, for its rejects.
    """
    rows, posts = described.rows, None
    if not described.fields.isdisjoint(candidates.OF_POST):
        rows = posts_in_folder.with_posts(rows, corpus.name)
        posts = posts_in_folder.group_posts(rows, corpus.name, POSTS.schema)
    images = candidates.from_folder(files.rows, rows)
    rejects = metadata_rejects(corpus, described, name)
    return CorpusFrames(candidates.limit_images(images, corpus.limit), rejects, posts, n_bytes=files.n_bytes)


def metadata_rejects(corpus: Corpus, described: Metadata, name: str) -> DataFrame:
    """Return the rows and values that cannot be used, and the columns that the configuration names in vain."""
    rejects = candidates.unreadable_metadata(described.rows, name).withColumn("corpus", F.lit(corpus.name))
    if described.missing:
        row = ("metadata", name, "missing_column", ", ".join(described.missing), corpus.name)
        rejects = rejects.unionByName(arrow.local_frame(rejects.sparkSession, [row], rejects.schema))
    return rejects


def count_described(names: DataFrame, described: Metadata) -> int:
    """Return how many files there are, and rows that name none of them, or one that a row before named.

    Args:
        names: source_key of each file.
        described: rows whose file is a source_key.
    """
    rows = described.rows.where(USABLE).groupBy("file").count()
    there = names.select(F.col("source_key").alias("file"), F.lit(1).alias("there"))
    counted = rows.join(there, "file", "left").agg(F.sum("count"), F.sum("there")).collect()[0]
    return count_rows(names) + (counted[0] or 0) - (counted[1] or 0)


def described_addresses(described: Metadata) -> DataFrame:
    """Return the file as source_key, and url, of the rows that have both."""
    rows = described.rows.where(f"{USABLE} AND url IS NOT NULL")
    return rows.groupBy(F.col("file").alias("source_key")).agg(F.min("url").alias("url"))


def flag_of(rows: DataFrame) -> Column | None:
    """Return what LAION says of an image as a flag, true or false as text; UNSURE is null. None without a column."""
    name = next((name for name in ("NSFW", "nsfw") if name in rows.columns), None)
    flag = F.upper(F.col(name)) if name else F.lit(None)
    return F.when(flag == "NSFW", "true").when(flag == "UNLIKELY", "false") if name else None


def without_ending(files: DataFrame) -> DataFrame:
    """Return files, or names, with source_keys that lack the ending of an image: rows name them so."""
    return files.withColumn("source_key", F.regexp_replace("source_key", ENDING, ""))


def match_files(rows: DataFrame, name: str, files: DataFrame) -> DataFrame:
    """Return the rows with the source_key of the file that they name, null where there is none.

    A file is meant by its path below the folder; else by its name alone, wherever it lies; else by that without its
    ending. A name that several files have describes them all.

    Args:
        rows: have the column `name`.
        name: of the column with the files' names.
        files: source_key of each.
    """
    alone = F.element_at(F.split("source_key", "/"), -1)
    ways = F.array_distinct(F.array("source_key", alone, F.regexp_replace(alone, ENDING, "")))
    known = files.select("source_key", F.posexplode(ways).alias("way", "known"))
    best = F.min("way").over(Window.partitionBy("known"))
    named = known.withColumn("best", best).where("way = best").select("known", "source_key")
    return rows.join(named, F.col(name) == F.col("known"), "left").drop("known")
