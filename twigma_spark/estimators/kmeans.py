"""Spherical k-means in two passes over the table: a weighted summary of each block of rows, then assignment.

Each partition is reduced to weighted means of small groups of like vectors; weighted k-means of all those on
the driver, from several seeds, gives the centres (a coreset in the sense of Har-Peled & Mazumdar 2004). The
result is the same for a seed and a partitioning; another partitioning groups other rows and may end in a
slightly different optimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from twigma_spark.errors import ModelError
from twigma_spark.estimators.coreset import Vectors, centres, summary
from twigma_spark.io import arrow

# Rows that a worker holds: 200 MB at 768 dimensions.
BLOCK = 65_536


@dataclass(frozen=True)
class KMeansSpec:
    """What to fit.

    Attributes:
        k: clusters.
        seed: of the groups in the blocks; the driver's starts use seed, seed + 1, ...
        summaries: weighted means that a block of rows is reduced to; raised to 4 k where that is more.
        restarts: starts on the driver, the best is kept.
    """

    k: int
    seed: int
    summaries: int = 256
    restarts: int = 5


@dataclass(frozen=True)
class KMeansModel:
    """A fitted clustering: `centroids` (k, d) float32 of unit length."""

    centroids: Vectors


def fit(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of the vectors' directions; one pass over the table.

    Where there are fewer different vectors than clusters, the spare centres repeat others and stay empty.

    Args:
        vectors: image_id, embedding; usable vectors of one length (transforms.vectors.fault is null).
        spec: what to fit.

    Raises:
        ModelError: fewer vectors than clusters.
    """
    most = max(spec.summaries, 4 * spec.k)
    summarise = partial(_summaries, most=most, seed=spec.seed)
    passed = vectors.select("image_id", "embedding").mapInArrow(summarise, "mean ARRAY<FLOAT>, weight DOUBLE")
    table = arrow.collect(passed).combine_chunks()
    weights = table.column("weight").to_numpy().astype(np.float32)
    if weights.sum(dtype=np.float64) < spec.k:
        raise ModelError(
            f"k must be at most the number of vectors. Got k={spec.k} and {int(weights.sum())} vectors; "
            "choose fewer clusters or more images."
        )
    seeds = range(spec.seed, spec.seed + spec.restarts)
    return KMeansModel(centres(arrow.matrix(table.column("mean").chunk(0)), weights, spec.k, seeds))


def assign(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster (INT) and distance (cosine, 0 to 2) to the nearest centre.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of the centroids' length.
        model: from `fit`.
    """
    columns = vectors.select("image_id", "corpus", "embedding")
    schema = "image_id STRING, corpus STRING, cluster INT, distance DOUBLE"
    return columns.mapInArrow(partial(_assigned, centroids=model.centroids), schema)


def _summaries(batches: Iterable[pa.RecordBatch], most: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Yield the weighted means of a partition, reduced block by block so that memory stays bounded."""
    points, weights = [], []
    for block in _blocks(batches):
        mean, weight = summary(block, np.ones(len(block), np.float32), most, seed)
        points.append(mean)
        weights.append(weight)
    if points:
        mean, weight = summary(np.concatenate(points), np.concatenate(weights), most, seed)
        yield pa.record_batch([arrow.lists(mean), pa.array(weight.astype(np.float64))], ["mean", "weight"])


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[Vectors]:
    """Yield unit vectors in blocks, in order of their ids: Spark may deliver a partition's rows in any order."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= BLOCK:
            yield _block(held)
            held = []
    if any(b.num_rows for b in held):
        yield _block(held)


def _block(batches: list[pa.RecordBatch]) -> Vectors:
    ids = np.concatenate([b.column(0).to_numpy(zero_copy_only=False) for b in batches]).astype("U")
    rows = np.concatenate([arrow.matrix(b.column(1)) for b in batches if b.num_rows])
    return arrow.unit(rows[np.argsort(ids)])


def _assigned(batches: Iterable[pa.RecordBatch], centroids: Vectors) -> Iterator[pa.RecordBatch]:
    """Yield the nearest centre of each row; of equals, the first."""
    for batch in batches:
        if not batch.num_rows:
            continue
        vectors = arrow.unit(arrow.matrix(batch.column(2)))
        cosines = vectors @ centroids.T
        nearest = cosines.argmax(axis=1)
        distance = 1.0 - cosines[np.arange(len(vectors)), nearest].astype(np.float64)
        columns = [
            batch.column(0), batch.column(1),
            pa.array(nearest.astype(np.int32)), pa.array(distance.clip(0.0, 2.0)),
        ]  # fmt: skip
        yield pa.record_batch(columns, ["image_id", "corpus", "cluster", "distance"])
