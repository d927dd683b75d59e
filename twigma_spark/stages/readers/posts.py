"""Reader `posts`: pages of posts that were collected from any platform, with their images in a folder beside them."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io import corpora
from twigma_spark.io.pages import media_folder, read_pages
from twigma_spark.schemas import MEDIA, TWEETS
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates, tweets
from twigma_spark.transforms.purged import without_posts


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the images of the posts, the posts, their media, and pages and posts that cannot be used."""
    pages = read_pages(spark, corpus)
    files = corpora.read_images(spark, corpus, media_folder(corpus), cfg.ingest)

    def frames(posts: DataFrame) -> CorpusFrames:
        used = tweets.tweets(posts, TWEETS.column_names)
        shown = tweets.media(posts, pages, MEDIA.column_names)
        found = candidates.limit_images(candidates.from_posts(files.rows, shown, used), corpus.limit)
        return CorpusFrames(found, tweets.post_rejects(posts, pages, corpus.name), used, shown, files.n_bytes)

    posts = tweets.posts(pages, corpus.name)
    return replace(frames(posts), without_posts=lambda purged: frames(without_posts(posts, purged)))


def count_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many media the posts show, and files that no post shows."""
    names = corpora.list_images(spark, corpus, media_folder(corpus), cfg.ingest).select(
        F.regexp_replace("source_key", r"\.[^.]*$", "").alias("media_key")
    )
    shown = frames["media"].where(F.col("corpus") == corpus.name).select("tweet_id", "media_key").distinct()
    return shown.count() + names.join(shown, "media_key", "left_anti").count()


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return media_key as source_key, and url, of the photos of the posts."""
    pages = read_pages(spark, corpus)
    shown = tweets.media(tweets.posts(pages, corpus.name), pages, MEDIA.column_names)
    photos = shown.where("type = 'photo' AND url IS NOT NULL").groupBy(F.col("media_key").alias("source_key"))
    return photos.agg(F.min("url").alias("url"))


READER = Reader(read, count_images, media_folder, addresses, has_pages=True)
