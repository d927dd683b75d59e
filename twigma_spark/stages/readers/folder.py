"""Reader `folder`: images in a folder, with a CSV or JSONL file that describes them where there is one."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow, corpora
from twigma_spark.schemas import TWEETS
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates, posts_in_folder


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images of the folder, the posts in its metadata, and the lines of it that cannot be used."""
    files = corpora.read_images(spark, corpus, corpus.path, cfg.ingest)
    if corpus.metadata is None:
        found = candidates.limit_images(candidates.from_folder(files.rows, None), corpus.limit)
        return CorpusFrames(found, n_bytes=files.n_bytes)
    described = corpora.read_metadata(spark, corpus)
    rows, tweets = described.rows, None
    if not described.fields.isdisjoint(candidates.OF_POST):
        rows = posts_in_folder.with_posts(rows, corpus.name)
        tweets = posts_in_folder.tweets(rows, corpus.name, TWEETS.schema)
    found = candidates.from_folder(files.rows, rows)
    name = corpus.metadata.rsplit("/", 1)[-1]
    rejects = candidates.unreadable_metadata(described.rows, name).withColumn("corpus", F.lit(corpus.name))
    if described.missing:
        row = ("metadata", name, "missing_column", ", ".join(described.missing), corpus.name)
        rejects = rejects.unionByName(arrow.local_frame(spark, [row], rejects.schema))
    return CorpusFrames(candidates.limit_images(found, corpus.limit), rejects, tweets, n_bytes=files.n_bytes)


def count_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many files there are, and rows of the metadata without a file of their own."""
    names = corpora.list_images(spark, corpus, corpus.path, cfg.ingest).select("source_key")
    return names.count() + _count_unmatched_rows(spark, corpus, names)


def _count_unmatched_rows(spark: SparkSession, corpus: Corpus, names: DataFrame) -> int:
    """Return how many rows of the metadata name no file, or one that a row before named."""
    if corpus.metadata is None:
        return 0
    rows = corpora.read_metadata(spark, corpus).rows.where("bad IS NULL AND file IS NOT NULL").select("file")
    known = rows.join(names.withColumnRenamed("source_key", "file"), "file", "left_semi").distinct().count()
    return rows.count() - known


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return the file as source_key, and url, of the rows of the metadata that have both."""
    if corpus.metadata is None:
        return arrow.local_frame(spark, [], "source_key STRING, url STRING")
    rows = corpora.read_metadata(spark, corpus).rows.where("bad IS NULL AND file IS NOT NULL AND url IS NOT NULL")
    return rows.groupBy(F.col("file").alias("source_key")).agg(F.min("url").alias("url"))


READER = Reader(read, count_images, addresses=addresses)
