"""Reader `clip_retrieval`: vectors of images and what describes them, as clip-retrieval writes them; no images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import corpora, peek, vector_files
from twigma_spark.io.parquet_tables import read_rows, text_of, type_of
from twigma_spark.io.vector_files import EXPECTED, IMAGES, METADATA, TEXTS, VectorFiles
from twigma_spark.schemas import POSTS
from twigma_spark.stages.readers.described import flag_of, metadata_rejects
from twigma_spark.stages.readers.inspection import Inspection, preset_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates, imported, posts_in_folder

# What clip-retrieval's models are called here, by the length of their vectors: a guess that a person corrects.
MODELS = {512: "open_clip/ViT-B-32/openai", 768: "open_clip/ViT-L-14/openai"}


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return a candidate a row, with the digest of its vector in place of bytes."""
    files = list_vectors(corpus)
    described = describe(spark, corpus, files)
    rows, posts = described.rows, None
    if not described.fields.isdisjoint(candidates.OF_POST):
        rows = posts_in_folder.with_posts(rows, corpus.name)
        posts = posts_in_folder.group_posts(rows, corpus.name, POSTS.schema)
    complete = candidates.complete(rows.withColumn("source_key", F.col("file")))
    images = imported.judge_vectors(candidates.limit_images(complete, corpus.limit), files)
    return CorpusFrames(images, metadata_rejects(corpus, described, METADATA), posts)


def describe(spark: SparkSession, corpus: Corpus, files: VectorFiles) -> corpora.Metadata:
    """Return the rows of the metadata, whose file says where the vector is: file of vectors, row, image's name."""
    rows = read_rows(spark, corpus.name, str(files.folders[METADATA] / f"{METADATA}_*.parquet"))
    corpus = preset_columns(corpus, file="image_path")
    wanted = corpora.wanted_columns(corpus)
    there = [name for name in wanted.values() if type_of(rows, name) is not None]
    columns = {field: text_of(rows, name) for field, name in wanted.items() if field != "file" and name in there}
    if "sensitive" not in columns and (flag := flag_of(rows)) is not None:
        columns["sensitive"] = flag
    # A name is welcome, not needed: the place tells the rows apart.
    names = there if "file" in corpus.columns.model_fields_set else [*there, wanted["file"]]
    return corpora.as_metadata(corpus, rows, _place(text_of(rows, wanted["file"])), columns, names)


def _place(name: Column) -> Column:
    number = F.regexp_extract("_metadata.file_name", r"_(\d+)\.parquet$", 1)
    return F.concat_ws("/", F.format_string(f"{IMAGES}_%s.npy", number), F.col("_metadata.row_index"), name)


def list_vectors(corpus: Corpus) -> VectorFiles:
    """Return the files of vectors of a corpus.

    Raises:
        CorpusError: they do not lie as expected, or nobody says which model made them.
    """
    require_layout(vector_files.has_vectors(Path(corpus.path)), corpus, "path", EXPECTED)
    files = vector_files.list_vectors(corpus.name, corpus.path)
    if corpus.embedded_by is None:
        guess = MODELS.get(files.dim, MODELS[768])
        raise CorpusError(
            f"corpus '{corpus.name}': embedded_by must name the model that made the vectors, of {files.dim} elements, "
            f"such as {guess}. Got none."
        )
    return files


def count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many vectors there are, by the headers of the files."""
    return list_vectors(corpus).n_rows


def check(corpus: Corpus) -> int:
    """Return how many vectors there are; refuse another layout, and files that do not fit together."""
    return list_vectors(corpus).n_rows


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees: vectors, and the metadata of the first file."""
    if not vector_files.has_vectors(path):
        return None
    keys = {"path": str(path)}
    try:
        files = vector_files.list_vectors(path.name, str(path))
    except CorpusError as error:
        return Inspection(keys, "natural", {}, faults=(str(error),))
    number = next(iter(files.rows))
    head = peek.parquet_head([files.path(METADATA, number)])
    first = np.load(files.path(IMAGES, number), mmap_mode="r", allow_pickle=False)
    counts = {"vectors": files.n_rows, "elements": files.dim, "files": len(files.rows)}
    model = MODELS.get(files.dim)
    notes = (
        f"stored as {first.dtype}; there are no images: nothing is drawn, captioned or hashed",
        f"embedded_by is a guess by the {files.dim} elements: correct it, and models.image with it"
        if model
        else f"embedded_by must name the model of these {files.dim} elements, and models.image be that model",
        *(["the vectors of captions are taken too"] if TEXTS in files.folders else []),
    )
    keys["embedded_by"] = model or "the model's id"
    return Inspection(keys, "natural", counts, head.columns, head.rows, notes)


READER = Reader(read, count_source_images, expects=EXPECTED, inspect=inspect, check=check, vectors=list_vectors)
