"""Heads over vectors: scores from embeddings, without the images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

from twigma_spark.io.arrow import matrix
from twigma_spark.models.heads import HeadSpec


def score_vectors(vectors: DataFrame, spec: HeadSpec, model_id: str) -> DataFrame:
    """Return image_id, corpus and value (FLOAT), the head's score of each vector.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of one length.
        spec: which head.
        model_id: the model that made the vectors; a head refuses those of another.

    Raises:
        ModelError: the head belongs to another model.
    """
    head = spec.setup()
    head.check(model_id)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                scores = pa.array(head(matrix(batch.column(2))))
                yield pa.record_batch([batch.column(0), batch.column(1), scores], ["image_id", "corpus", "value"])

    columns = vectors.select("image_id", "corpus", "embedding")
    return columns.mapInArrow(run, "image_id STRING, corpus STRING, value FLOAT").select("image_id", "corpus", "value")
