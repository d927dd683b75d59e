"""Vectors that came with the images of a corpus: which can be used, and rows of them as a model would give."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.io import arrow, vector_files
from twigma_spark.io.session import slots
from twigma_spark.io.vector_files import UNREADABLE, Found, VectorFiles
from twigma_spark.transforms.images import ID_DIGITS

# Rows of a file that one task reads, one after the other, and bytes of vectors of a task.
BLOCK, TASK_BYTES = 16_384, 256 * 2**20
CHANGED = f"{UNREADABLE}: its vector is another than the one that ingest read; run ingest again"
ANSWER = {"value": "array<float>", "error": "string"}


def judge_vectors(candidates: DataFrame, files: VectorFiles) -> DataFrame:
    """Return candidate images with the digest of their vector, or the reason why it cannot be used.

    Args:
        candidates: columns of `candidates.COLUMNS`, with a source_key as `vector_files.read_vectors` takes it; one that
            has a reason keeps it.
        files: the vectors.
    """

    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = vector_files.read_vectors(files, batch.column("source_key").to_pylist())
            columns = {"digest": vectors.digests, "reason": vectors.reasons, "detail": vectors.details}
            arrays = {name: batch.column(name) for name in batch.schema.names}
            yield pa.RecordBatch.from_pydict(
                {**arrays, **{name: pa.array(columns[name], pa.string()) for name in columns}}
            )

    return _in_blocks(candidates, files).mapInArrow(judge, candidates.schema)


def image_answers(images: DataFrame, files: VectorFiles) -> DataFrame:
    """Return image_id, corpus and source_key with value (the vector) and error, as `inference.infer` does.

    An image whose vector has changed since `ingest` made its id has an error.

    Args:
        images: image_id, corpus, source_key.
        files: the vectors.
    """

    def errors(batch: pa.RecordBatch, vectors: Found) -> list[str | None]:
        ids, corpora, keys = (batch.column(name).to_pylist() for name in ("image_id", "corpus", "source_key"))
        rows = zip(ids, corpora, keys, vectors.digests, _errors(vectors), strict=True)
        return [e or (None if i == image_id(c, k, str(d)) else CHANGED) for i, c, k, d, e in rows]

    return _answers(images.select("image_id", "corpus", "source_key"), files, vector_files.IMAGES, errors)


def text_answers(texts: DataFrame, files: VectorFiles) -> DataFrame:
    """Return texts with value (the vector) and error, as `inference.infer` does.

    Args:
        texts: source_key of an image that the text came with.
        files: the vectors.
    """
    return _answers(texts, files, vector_files.TEXTS, lambda batch, found: _errors(found))


def image_id(corpus: str, source_key: str, digest: str) -> str:
    """Return the id of an image by the digest of what it was read from, as `images.probe_images` makes it."""
    return hashlib.sha256(f"{corpus}/{source_key}/{digest}".encode()).hexdigest()[:ID_DIGITS]


def _errors(vectors: Found) -> list[str | None]:
    return [f"{why}: {detail}" if why else None for why, detail in zip(vectors.reasons, vectors.details, strict=True)]


def _answers(
    rows: DataFrame, files: VectorFiles, kind: str, errors: Callable[[pa.RecordBatch, Found], list[str | None]]
) -> DataFrame:
    def answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = vector_files.read_vectors(files, batch.column("source_key").to_pylist(), kind)
            arrays = {name: batch.column(name) for name in batch.schema.names}
            columns = {"value": arrow.lists(vectors.vectors), "error": pa.array(errors(batch, vectors), pa.string())}
            yield pa.RecordBatch.from_pydict({**arrays, **columns})

    fields = ", ".join(f"`{name}` {kind}" for name, kind in [*rows.dtypes, *ANSWER.items()])
    return _in_blocks(rows, files).mapInArrow(answer, fields)


def _in_blocks(rows: DataFrame, files: VectorFiles) -> DataFrame:
    """Return the rows in partitions of neighbouring rows of a file; they are short, and no vector is moved."""
    parts = F.split("source_key", "/", 3)
    block = (parts[1].cast("bigint") / BLOCK).cast("bigint")
    return rows.repartition(max(slots(rows.sparkSession), -(-files.n_bytes // TASK_BYTES)), parts[0], block)
