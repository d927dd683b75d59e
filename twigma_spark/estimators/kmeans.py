"""k-means in two passes over the table: a weighted summary of each block of rows, then assignment.

Each partition is reduced to weighted means of small groups of like vectors; weighted k-means of all those on
the driver, from several seeds, gives the centres. What comes to the driver is bounded whatever the table's
size. Exact Lloyd rounds over the table, one pass each, can follow.

The result is the same for a seed and a partitioning, in whatever order the rows of a partition arrive, as
long as a partition fits one block (`BLOCK` bytes of vectors); a larger partition is cut into blocks as it
arrives. Another partitioning groups other rows and may end in a slightly different optimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.errors import ModelError
from twigma_spark.estimators.coreset import Metric, Vectors, centres, moved, nearest, summary
from twigma_spark.io import arrow

# Vectors that a worker holds, in bytes; a partition of a file scan (128 MB) is one block.
BLOCK = 160 << 20
# Summaries are merged in so many tasks, each to at most so many, so that the driver's share is bounded.
MERGERS, MERGED = 4, 8192
# Summaries that a partition may hold between its blocks, in multiples of what it gives out.
HELD = 8

SUMMARY = "row INT, mean ARRAY<FLOAT>, weight DOUBLE"
SUMS = "cluster INT, mean ARRAY<FLOAT>, weight DOUBLE, cost DOUBLE"


@dataclass(frozen=True)
class KMeansSpec:
    """What to fit.

    Attributes:
        k: clusters.
        seed: of the groups in the blocks; the driver's starts use seed, seed + 1, ...
        metric: "cosine" clusters directions, "euclidean" points.
        summaries: weighted means that a block of rows is reduced to; raised to 2 k where that is more.
        restarts: starts on the driver, the best is kept.
        refine: exact Lloyd rounds over the table at most, one pass each.
        tol: relative gain that ends them.
    """

    k: int
    seed: int
    metric: Metric = "cosine"
    summaries: int = 256
    restarts: int = 5
    refine: int = 0
    tol: float = 1e-4

    @property
    def groups(self) -> int:
        """Weighted means a block."""
        return max(self.summaries, 2 * self.k)

    @property
    def seeds(self) -> range:
        """Seeds of the driver's starts."""
        return range(self.seed, self.seed + self.restarts)


@dataclass(frozen=True)
class Summary:
    """Weighted means (m, d), (m,) float32 that stand for a table of vectors."""

    points: Vectors
    weights: Vectors

    @property
    def rows(self) -> int:
        """Vectors that it stands for."""
        return int(self.weights.sum(dtype=np.float64))

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.points.shape[1])


@dataclass(frozen=True)
class KMeansModel:
    """A fitted clustering: `centroids` (k, d) float32, of unit length under the cosine."""

    centroids: Vectors
    metric: Metric = "cosine"


def fit(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of the vectors; one pass over the table, and one for each round of `spec.refine`.

    Where there are fewer different vectors than clusters, the spare centres repeat others and stay empty.

    Args:
        vectors: image_id, embedding; what `arrow.checked` refuses takes no part.
        spec: what to fit.

    Raises:
        ModelError: fewer vectors than clusters.
    """
    return refined(vectors, of_summary(summarise(vectors, spec), spec), spec)


def summarise(vectors: DataFrame, spec: KMeansSpec) -> Summary:
    """Return a weighted summary of the table, from which any number of clusterings can be fitted.

    Where vectors have several lengths, those of the most frequent length take part.

    Args:
        vectors: image_id, embedding.
        spec: metric, seed and how fine.
    """
    passed = vectors.select("image_id", "embedding").mapInArrow(partial(_summaries, spec=spec), SUMMARY)
    # The rows of a partition stay together and in order, so that the merged summaries are always the same.
    parts = passed.withColumn("part", F.spark_partition_id())
    merged = _in_parts(parts, "row").mapInArrow(partial(_merged, spec=spec), SUMMARY)
    table = arrow.collect(merged)
    means = table.column("mean").combine_chunks()
    lengths = pa.compute.list_value_length(means).to_numpy(zero_copy_only=False)
    weights = table.column("weight").to_numpy().astype(np.float32)
    if not len(lengths):
        return Summary(np.empty((0, 1), np.float32), weights)
    usual = lengths == np.bincount(lengths, weights).argmax()
    return Summary(arrow.matrix(means.filter(pa.array(usual))), weights[usual])


def of_summary(found: Summary, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of a summary's weighted k-means; no pass over the table.

    Raises:
        ModelError: fewer vectors than clusters.
    """
    if found.rows < spec.k:
        raise ModelError(
            f"k must be at most the number of vectors. Got k={spec.k} and {found.rows} vectors; "
            "choose fewer clusters or more images."
        )
    return KMeansModel(centres(found.points, found.weights, spec.k, spec.seeds, spec.metric), spec.metric)


def refined(vectors: DataFrame, model: KMeansModel, spec: KMeansSpec) -> KMeansModel:
    """Return the model after exact Lloyd rounds over the table, until a round gains less than `spec.tol`.

    The mean distance never grows. A centre without vectors moves to the worst served one of all.
    """
    before = np.inf
    for _ in range(spec.refine):
        model, cost = _round(vectors, model)
        if before - cost <= spec.tol * before:
            break
        before = cost
    return model


def assign(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster (INT) and distance to the nearest centre of the vectors that can be used.

    The distance is the cosine distance, 0 to 2, or the Euclidean one.

    Args:
        vectors: image_id, corpus, embedding.
        model: from `fit`.
    """
    return labelled(vectors, model).where("reason IS NULL").drop("reason")


def labelled(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster, distance and reason; a vector that cannot be used has only a reason."""
    columns = vectors.select("image_id", "corpus", "embedding")
    schema = "image_id STRING, corpus STRING, cluster INT, distance DOUBLE, reason STRING"
    return columns.mapInArrow(partial(_labelled, model=model), schema)


def measured(rows: Vectors, norms: Vectors, model: KMeansModel) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest centre and the distance to it of rows (n, d) of lengths (n,); of equals the first."""
    found = nearest(rows, model.centroids, model.metric)
    own = np.einsum("ij,ij->i", rows, model.centroids[found], dtype=np.float32).astype(np.float64)
    if model.metric == "cosine":
        return found, (1.0 - own / norms).clip(0.0, 2.0)
    squares = np.einsum("ij,ij->i", model.centroids, model.centroids)[found]
    return found, np.sqrt(np.maximum(norms.astype(np.float64) ** 2 - 2 * own + squares, 0.0))


def _in_parts(parts: DataFrame, *order: str) -> DataFrame:
    """Return rows with a column `part` in `MERGERS` partitions, in a fixed order."""
    gathered = parts.repartition(MERGERS, F.pmod("part", F.lit(MERGERS)))
    return gathered.sortWithinPartitions("part", *order)


def _summaries(batches: Iterable[pa.RecordBatch], spec: KMeansSpec) -> Iterator[pa.RecordBatch]:
    """Yield the weighted means of a partition, reduced block by block so that memory stays bounded."""
    held: dict[int, list[tuple[Vectors, Vectors]]] = {}
    for rows, scale in _blocks(batches, spec.metric):
        parts = held.setdefault(rows.shape[1], [])
        parts.append(summary(rows, np.ones(len(rows), np.float32), spec.groups, spec.seed, spec.metric, scale))
        if sum(len(mean) for mean, _ in parts) > HELD * spec.groups:
            parts[:] = [_reduced(parts, spec.groups, spec)]
    for _, parts in sorted(held.items()):
        yield _packed(*_reduced(parts, spec.groups, spec))


def _merged(batches: Iterable[pa.RecordBatch], spec: KMeansSpec) -> Iterator[pa.RecordBatch]:
    """Yield the summaries of several partitions as at most `MERGED` (or 2 k) of them."""
    held: dict[int, list[tuple[Vectors, Vectors]]] = {}
    most = max(MERGED, 2 * spec.k)
    for batch in batches:
        for dim, part in _by_length(batch):
            parts = held.setdefault(dim, [])
            parts.append(part)
            if sum(len(mean) for mean, _ in parts) > HELD * most:
                parts[:] = [_reduced(parts, most, spec)]
    for _, parts in sorted(held.items()):
        yield _packed(*_reduced(parts, most, spec))


def _by_length(batch: pa.RecordBatch) -> Iterator[tuple[int, tuple[Vectors, Vectors]]]:
    means, weights = batch.column("mean"), batch.column("weight").to_numpy().astype(np.float32)
    lengths = pa.compute.list_value_length(means).to_numpy(zero_copy_only=False)
    for dim in np.unique(lengths):
        same = lengths == dim
        yield int(dim), (arrow.matrix(means.filter(pa.array(same))), weights[same])


def _reduced(parts: list[tuple[Vectors, Vectors]], most: int, spec: KMeansSpec) -> tuple[Vectors, Vectors]:
    means, weights = zip(*parts, strict=True)
    return summary(np.concatenate(means), np.concatenate(weights), most, spec.seed, spec.metric)


def _packed(means: Vectors, weights: Vectors) -> pa.RecordBatch:
    columns = [
        pa.array(np.arange(len(means), dtype=np.int32)),
        arrow.lists(means),
        pa.array(weights.astype(np.float64)),
    ]
    return pa.record_batch(columns, ["row", "mean", "weight"])


def _blocks(batches: Iterable[pa.RecordBatch], metric: Metric) -> Iterator[tuple[Vectors, Vectors]]:
    """Yield vectors and their scales in blocks, in order of their ids: Spark may deliver rows in any order."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held += [batch] if batch.num_rows else []
        if sum(b.nbytes for b in held) >= BLOCK:
            yield from _by_dim(held, metric)
            held = []
    if held:
        yield from _by_dim(held, metric)


def _by_dim(batches: list[pa.RecordBatch], metric: Metric) -> Iterator[tuple[Vectors, Vectors]]:
    ids = pa.concat_arrays([b.column(0) for b in batches])
    vectors = pa.concat_arrays([b.column(1) for b in batches])
    order = pa.compute.sort_indices(ids).to_numpy()
    lengths = pa.compute.list_value_length(vectors).fill_null(0).to_numpy(zero_copy_only=False)
    for dim in np.unique(lengths[lengths > 0]):
        found = arrow.checked(vectors, int(dim))
        kept = order[found.usable[order]]
        if len(kept):
            scale = 1.0 / found.norms[kept] if metric == "cosine" else np.ones(len(kept), np.float32)
            yield found.rows[kept], scale.astype(np.float32)


def _labelled(batches: Iterable[pa.RecordBatch], model: KMeansModel) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        found = arrow.checked(batch.column(2), model.centroids.shape[1])
        cluster, distance = measured(found.rows, found.norms, model)
        bad = ~found.usable
        columns = [
            batch.column(0), batch.column(1), pa.array(cluster.astype(np.int32), mask=bad),
            pa.array(distance, mask=bad), pa.array(found.reasons, pa.string()),
        ]  # fmt: skip
        yield pa.record_batch(columns, ["image_id", "corpus", "cluster", "distance", "reason"])


def _round(vectors: DataFrame, model: KMeansModel) -> tuple[KMeansModel, float]:
    """Return the model after one exact Lloyd round, and the mean cost before it; one pass over the table."""
    passed = vectors.select("embedding").mapInArrow(partial(_sums, model=model), SUMS)
    parts = _in_parts(passed.withColumn("part", F.spark_partition_id()), "cluster", "cost")
    table = arrow.collect(parts.mapInArrow(partial(_added, k=len(model.centroids)), SUMS))
    rows = [_unpacked(batch) for batch in table.to_batches() if batch.num_rows]
    if not rows:
        return model, 0.0
    k, sums = len(model.centroids), np.zeros(model.centroids.shape)
    totals, costs, worst = np.zeros(k), 0.0, []
    for cluster, mean, weight, cost in rows:
        own = cluster >= 0
        np.add.at(sums, cluster[own], mean[own] * weight[own, None])
        np.add.at(totals, cluster[own], weight[own])
        costs += float(cost[own].sum())
        worst += list(zip(cost[~own].tolist(), mean[~own], strict=True))
    found = moved(model.centroids, sums, totals, model.metric)
    worst.sort(key=lambda pair: -pair[0])
    for empty, (_, row) in zip(np.flatnonzero(totals == 0), worst, strict=False):
        found[empty] = arrow.unit(row[None])[0] if model.metric == "cosine" else row
    return KMeansModel(found, model.metric), costs / max(totals.sum(), 1.0)


def _unpacked(batch: pa.RecordBatch) -> tuple[NDArray[np.int32], Vectors, NDArray[np.float64], NDArray[np.float64]]:
    cluster, weight, cost = (batch.column(name).to_numpy() for name in ("cluster", "weight", "cost"))
    return cluster, arrow.matrix(batch.column("mean")), weight, cost


def _sums(batches: Iterable[pa.RecordBatch], model: KMeansModel) -> Iterator[pa.RecordBatch]:
    """Yield the mean, weight and cost of each cluster in a partition, and as cluster -1 its worst served row."""
    k, dim = model.centroids.shape
    sums, totals, costs = np.zeros((k, dim)), np.zeros(k), np.zeros(k)
    worst, row = -1.0, np.zeros(dim, np.float32)
    for batch in batches:
        found = arrow.checked(batch.column(0), dim)
        used = found.usable
        if not used.any():
            continue
        rows, norms = found.rows[used], found.norms[used]
        cluster, cost = measured(rows, norms, model)
        cost = cost if model.metric == "cosine" else cost**2
        scale = 1.0 / norms if model.metric == "cosine" else np.ones(len(rows))
        np.add.at(totals, cluster, 1.0)
        np.add.at(costs, cluster, cost)
        for label in np.unique(cluster):
            own = cluster == label
            sums[label] += scale[own].astype(np.float64) @ rows[own]
        if cost.max() > worst:
            worst, row = float(cost.max()), rows[int(cost.argmax())]
    yield from _sums_packed(sums, totals, costs, [(worst, row)] if worst >= 0 else [])


def _added(batches: Iterable[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """Yield the sums of several partitions as one of each cluster; the worst served rows stay, k at most."""
    sums: NDArray[np.float64] | None = None
    totals, costs, worst = np.zeros(k), np.zeros(k), []
    for batch in batches:
        cluster, mean, weight, cost = _unpacked(batch)
        own = cluster >= 0
        sums = np.zeros((k, mean.shape[1])) if sums is None else sums
        np.add.at(sums, cluster[own], mean[own] * weight[own, None])
        np.add.at(totals, cluster[own], weight[own])
        np.add.at(costs, cluster[own], cost[own])
        worst += list(zip(cost[~own].tolist(), mean[~own], strict=True))
        worst = sorted(worst, key=lambda pair: -pair[0])[:k]
    if sums is not None:
        yield from _sums_packed(sums, totals, costs, worst)


def _sums_packed(
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
    costs: NDArray[np.float64],
    worst: list[tuple[float, Vectors]],
) -> Iterator[pa.RecordBatch]:
    there = np.flatnonzero(totals)
    if not len(there):
        return
    means = [(sums[there] / totals[there, None]).astype(np.float32), *[row[None] for _, row in worst]]
    columns = [
        pa.array(np.concatenate([there, np.full(len(worst), -1)]).astype(np.int32)),
        arrow.lists(np.concatenate(means)),
        pa.array(np.concatenate([totals[there], np.zeros(len(worst))])),
        pa.array(np.concatenate([costs[there], [cost for cost, _ in worst]])),
    ]
    yield pa.record_batch(columns, ["cluster", "mean", "weight", "cost"])
