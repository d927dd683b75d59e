"""Reader `posts`: pages of posts that were collected from any platform, with their images in a folder beside them."""

from __future__ import annotations

import json
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io import corpora, peek
from twigma_spark.io.frames import count_rows
from twigma_spark.io.pages import media_folder, read_pages
from twigma_spark.stages.readers.inspection import Inspection, count_images
from twigma_spark.stages.readers.reader import CorpusFrames, Reader, SplitPages
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates, parsed_posts, raw_posts

EXPECTED = "a folder with the X API's pages (.json, .jsonl) and their pictures in media/"
# Pages that are looked at without Spark.
PAGES_SEEN = 5
SHOWN: tuple[str, ...] = ("id", "created_at", "text")


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> SplitPages:
    """Return the posts as they are in the pages, of which the images, posts, media and rejects are made."""
    files = corpora.read_images(spark, corpus, media_folder(corpus), cfg.ingest)

    def parse(split: DataFrame) -> CorpusFrames:
        raw = raw_posts.usable_raw_posts(split)
        parsed = parsed_posts.parse_posts(raw)
        used, shown = parsed_posts.posts_of(parsed), parsed_posts.media_of(parsed)
        images = candidates.limit_images(candidates.from_posts(files.rows, shown, used), corpus.limit)
        rejects = raw_posts.page_rejects(split).unionByName(parsed_posts.value_rejects(parsed))
        return CorpusFrames(images, rejects, used, shown, files.n_bytes, raw)

    return SplitPages(raw_posts.split_pages(read_pages(spark, corpus), corpus.name), parse)


def count_images_of_posts(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many media the posts show, and files that no post shows."""
    names = corpora.list_images(spark, corpus, media_folder(corpus), cfg.ingest).select(
        F.regexp_replace("source_key", r"\.[^.]*$", "").alias("media_key")
    )
    shown = frames["media"].where(F.col("corpus") == corpus.name).select("post_id", "media_key").distinct()
    return count_rows(shown) + count_rows(names.join(shown, "media_key", "left_anti"))


def addresses(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return media_key as source_key, and url, of the photos of the posts."""
    split = raw_posts.split_pages(read_pages(spark, corpus), corpus.name)
    shown = parsed_posts.media_of(parsed_posts.parse_posts(raw_posts.usable_raw_posts(split)))
    photos = shown.where("type = 'photo' AND url IS NOT NULL").groupBy(F.col("media_key").alias("source_key"))
    return photos.agg(F.min("url").alias("url"))


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: pages with the posts, and pictures in the folder media."""
    pages = peek.files_with(path, ".json", ".jsonl") if path.is_dir() else []
    posts = [_first_posts(page) for page in pages[:PAGES_SEEN]]
    if not any(posts):
        return None
    rows = [row for part in posts for row in part or []]
    shown = tuple({name: str(row[name]) for name in SHOWN if name in row} for row in rows[:3])
    pictures = count_images(path / "media")
    faults = () if pictures else ("media holds no picture yet: fetch: true downloads them",)
    keys: dict[str, object] = {"path": str(path), **({} if pictures else {"fetch": True})}
    return Inspection(keys, "posts", {"pages": len(pages), "images": pictures}, tuple(rows[0]), shown, faults)


def _first_posts(page: Path) -> list[dict[str, object]] | None:
    """Return the posts of a page, or of the first one of a file with one a line; None where it is no page."""
    try:
        with page.open(encoding="utf-8") as file:
            parsed = json.loads(file.readline() if page.suffix == ".jsonl" else file.read())
        first = parsed[0] if isinstance(parsed, list) else parsed
        posts = [post for post in first["data"] if "id" in post]
    except (ValueError, KeyError, TypeError, IndexError, OSError):
        return None
    return posts if isinstance(first.get("includes", {}), dict) else None


READER = Reader(read, count_images_of_posts, media_folder, addresses, EXPECTED, inspect, has_pages=True)
