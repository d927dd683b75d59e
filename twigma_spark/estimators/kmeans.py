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

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import sparse

from twigma_spark.errors import ModelError
from twigma_spark.io import arrow

Vectors = NDArray[np.float32]

# Rows that a worker holds: 200 MB at 768 dimensions.
BLOCK = 65_536
# Groups are found on a sample of so many rows a group, in so many rounds; every row then joins the nearest.
ROWS_A_GROUP, ROUNDS = 32, 6
# Rounds on the driver, where a round costs next to nothing.
DRIVER_ROUNDS = 50


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


@dataclass(frozen=True)
class Numbered:
    """A clustering in the order of its sizes.

    Attributes:
        model: centroids in the new order.
        assigned: image_id, corpus, cluster (new number), distance; lazy.
        sizes: rows of each cluster (k,) int64, falling.
        mean_distances: mean cosine distance of each cluster's rows; None where it is empty.
    """

    model: KMeansModel
    assigned: DataFrame
    sizes: NDArray[np.int64]
    mean_distances: tuple[float | None, ...]


def fit(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of the vectors' directions; one pass over the table.

    Where there are fewer different vectors than clusters, the spare centres repeat others and stay empty.

    Args:
        vectors: image_id, embedding; usable vectors of one length (transforms.vectors.usable).
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
    return KMeansModel(centres(arrow.matrix(table.column("mean").chunk(0)), weights, spec))


def assign(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster (INT) and distance (cosine, 0 to 2) to the nearest centre.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of the centroids' length.
        model: from `fit`.
    """
    columns = vectors.select("image_id", "corpus", "embedding")
    schema = "image_id STRING, corpus STRING, cluster INT, distance DOUBLE"
    return columns.mapInArrow(partial(_assigned, centroids=model.centroids), schema)


def number_by_size(model: KMeansModel, assigned: DataFrame) -> Numbered:
    """Return the clustering with its clusters numbered from 0 by falling size; one small job.

    Equal sizes stay in the order of the fit. Empty clusters come last.

    Args:
        model: from `fit`.
        assigned: from `assign` with that model, computed once by the caller.
    """
    grouped = assigned.groupBy("cluster").agg(F.count("*").alias("size"), F.avg("distance").alias("mean"))
    found = {row["cluster"]: (row["size"], row["mean"]) for row in grouped.collect()}
    sizes = np.array([found.get(c, (0, None))[0] for c in range(len(model.centroids))], np.int64)
    order = np.argsort(-sizes, kind="stable")
    number = F.array([F.lit(int(n)) for n in np.argsort(order)])
    renumbered = assigned.select(
        "image_id", "corpus", F.get(number, F.col("cluster")).cast("int").alias("cluster"), "distance"
    )
    means = tuple(found[int(c)][1] if int(c) in found else None for c in order)
    return Numbered(KMeansModel(model.centroids[order]), renumbered, sizes[order], means)


def centroid_rows(spark: SparkSession, numbered: Numbered) -> DataFrame:
    """Return cluster, size, mean_distance (null where empty) and centroid, one row a cluster."""
    centroids = numbered.model.centroids
    columns = [
        pa.array(np.arange(len(centroids), dtype=np.int32)), pa.array(numbered.sizes),
        pa.array(numbered.mean_distances, pa.float64()), arrow.lists(centroids),
    ]  # fmt: skip
    batch = pa.record_batch(columns, ["cluster", "size", "mean_distance", "centroid"])
    schema = "cluster INT, size BIGINT, mean_distance DOUBLE, centroid ARRAY<FLOAT>"
    return arrow.frame_of(spark, [batch], schema)


def centres(points: Vectors, weights: Vectors, spec: KMeansSpec) -> Vectors:
    """Return the best centres (k, d) of weighted k-means over `spec.restarts` starts by k-means++.

    The points may be shorter than 1: a mean of unit vectors weighs as its rows together would, so that the
    objective, the sum of w <point, centre>, is that of the rows as long as a group stays together.

    Args:
        points: means (n, d).
        weights: rows that each stands for (n,).
        spec: k, seed and restarts.
    """
    if len(points) <= spec.k:
        return arrow.unit(np.resize(points, (spec.k, points.shape[1])))
    fits = [_trained(points, weights, spec.k, spec.seed + n) for n in range(spec.restarts)]
    gains = [float(weights @ (points @ fit.T).max(axis=1)) for fit in fits]
    return fits[int(np.argmax(gains))]


def summary(vectors: Vectors, weights: Vectors, most: int, seed: int) -> tuple[Vectors, Vectors]:
    """Return at most `most` weighted means (m, d), (m,) that stand for weighted vectors (n, d), (n,).

    Weighted sums are kept: the means times their weights add up to the vectors times theirs.
    """
    if len(vectors) <= most:
        return vectors, weights
    groups = faiss.Kmeans(
        vectors.shape[1], most, niter=ROUNDS, seed=seed, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=ROWS_A_GROUP,
    )  # fmt: skip
    groups.train(vectors)
    labels = groups.index.search(vectors, 1)[1].ravel()
    shares = sparse.csr_matrix((weights, (labels, np.arange(len(vectors)))), shape=(most, len(vectors)))
    totals = np.bincount(labels, weights, most).astype(np.float32)
    taken = totals > 0
    return (shares @ vectors)[taken] / totals[taken, None], totals[taken]


def _trained(points: Vectors, weights: Vectors, k: int, seed: int) -> Vectors:
    kmeans = faiss.Kmeans(
        points.shape[1], k, niter=DRIVER_ROUNDS, seed=seed, spherical=True,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1, max_points_per_centroid=len(points),
    )  # fmt: skip
    kmeans.train(points, weights)
    return arrow.unit(kmeans.centroids)


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
