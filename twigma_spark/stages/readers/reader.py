"""What a reader of a corpus is; adding one takes a module with a READER and a line in config.data.READERS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.data import READERS, Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io.vector_files import VectorFiles
from twigma_spark.stages.readers.inspection import Inspection
from twigma_spark.stages.stage import Frames


@dataclass(frozen=True)
class CorpusFrames:
    """What one corpus holds: its candidate images, posts, media, and rejects that are not images.

    Attributes:
        images: candidate images.
        rejects: what is no image and cannot be used.
        posts: posts.
        media: pictures of posts.
        n_bytes: how much there is to read, where images are read from their paths (`corpora.ImageFiles`).
        raw_posts: posts as their platform gave them, where there is one.
    """

    images: DataFrame
    rejects: DataFrame | None = None
    posts: DataFrame | None = None
    media: DataFrame | None = None
    n_bytes: int | None = None
    raw_posts: DataFrame | None = None


@dataclass(frozen=True)
class SplitPages:
    """What a corpus of pages holds: posts as their platform gave them, of which all else is made.

    Attributes:
        rows: what `transforms.raw_posts.split_pages` returns, with the posts that cannot be used.
        parse: returns what the corpus holds, of these rows, computed once, or of a part of them.
    """

    rows: DataFrame
    parse: Callable[[DataFrame], CorpusFrames]


@dataclass(frozen=True)
class Reader:
    """A way to read a corpus.

    Attributes:
        read: returns what the corpus holds, lazily.
        count_images: returns how many images the corpus brought, counted at the source and not in the tables:
            files, and names without a file or named again; `corpus.limit` is applied by the caller.
        image_folder: returns where the images of the corpus lie.
        addresses: returns where its pictures can be downloaded, one row a picture: source_key (its name in the image
            folder, with or without an ending) and url; None where the reader knows of none.
        vectors: returns the files of vectors, where its images come as such and have no bytes.
        has_pages: whether its posts lie in pages (`io.pages`), out of which a purge takes them, and its pictures by
            their keys.
        finds_metadata: whether it looks for the metadata in a folder of this machine; at a URL it must be named.
        expects: the layout that it reads, in words.
        inspect: returns what it finds at a path on this machine without Spark; None where it is not its layout.
        check: returns how many images a corpus has, without Spark, None where its image files are to be counted; raises
            CorpusError where the layout is another.
    """

    read: Callable[[Config, SparkSession, Corpus], CorpusFrames | SplitPages]
    count_images: Callable[[Config, SparkSession, Frames, Corpus], int]
    image_folder: Callable[[Corpus], str] = attrgetter("path")
    addresses: Callable[[SparkSession, Corpus], DataFrame] | None = None
    expects: str = ""
    inspect: Callable[[Path], Inspection | None] | None = None
    check: Callable[[Corpus], int | None] | None = None
    vectors: Callable[[Corpus], VectorFiles] | None = None
    has_pages: bool = False
    finds_metadata: bool = False


def reader_of(corpus: Corpus) -> Reader:
    """Return the reader of a corpus."""
    return reader_named(corpus.reader)


def reader_named(name: str) -> Reader:
    """Return the reader of a name."""
    reader: Reader = import_module(READERS[name]).READER
    return reader
