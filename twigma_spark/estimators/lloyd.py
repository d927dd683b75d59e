"""Exact Lloyd rounds over a table, one pass each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.clustering import KMeansModel, KMeansSpec, assign_rows, in_parts
from twigma_spark.estimators.coreset import Vectors, move_centres, sums_by_label
from twigma_spark.estimators.nearest_centres import Centres
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

# Rows with cluster -1 are single vectors: the worst served ones.
SUMS = "cluster INT, mean ARRAY<FLOAT>, weight DOUBLE, cost DOUBLE"


def refine(vectors: DataFrame, model: KMeansModel, spec: KMeansSpec) -> KMeansModel:
    """Return the model after `spec.rounds` exact Lloyd rounds over the table, or until one gains less than `spec.tol`.

    The mean distance never grows. A centre without vectors moves to the worst served one of all.
    """
    before = np.inf
    for _ in range(spec.rounds):
        model, cost = _round(vectors, model)
        if before - cost <= spec.tol * before:
            break
        before = cost
    return model


def _round(vectors: DataFrame, model: KMeansModel) -> tuple[KMeansModel, float]:
    """Return the model after one exact Lloyd round, and the mean cost before it; one pass over the table."""
    passed = vectors.select("embedding").mapInArrow(partial(_sums, model=model), SUMS)
    parts = in_parts(passed.withColumn("part", F.spark_partition_id()), "cluster", "cost")
    whole = ClusterSums(*model.centroids.shape)
    for batch in arrow.collect(parts.mapInArrow(partial(_add_sums, model=model), SUMS)).to_batches():
        whole.add(batch)
    if not whole.weights.any():
        return model, 0.0
    moved = move_centres(model.centroids, whole.vectors, whole.weights, model.metric)
    for empty, (_, row) in zip(np.flatnonzero(whole.weights == 0), whole.worst, strict=False):
        moved[empty] = unit_rows(row[None])[0] if model.metric == "cosine" else row
    return KMeansModel(moved, model.metric), float(whole.costs.sum() / whole.weights.sum())


class ClusterSums:
    """What a Lloyd round needs of some rows: the sum, number and cost of each cluster's, and the worst served ones.

    Attributes:
        vectors: sums (k, d) float64.
        weights: rows (k,) float64.
        costs: (k,) float64.
        worst: (cost, row) of at most k rows, the worst first.
    """

    def __init__(self, k: int, dim: int) -> None:
        self.vectors = np.zeros((k, dim))
        self.weights, self.costs = np.zeros(k), np.zeros(k)
        self.worst: list[tuple[float, Vectors]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the sums of other rows, as `pack_sums` gave them."""
        if not batch.num_rows:
            return
        cluster, weight, cost = (batch.column(name).to_numpy() for name in ("cluster", "weight", "cost"))
        mean = arrow.matrix(batch.column("mean"))
        own = cluster >= 0
        np.add.at(self.vectors, cluster[own], mean[own] * weight[own, None])
        np.add.at(self.weights, cluster[own], weight[own])
        np.add.at(self.costs, cluster[own], cost[own])
        served = [*self.worst, *zip(cost[~own].tolist(), mean[~own], strict=True)]
        self.worst = sorted(served, key=lambda pair: -pair[0])[: len(self.weights)]

    def pack_sums(self) -> Iterator[pa.RecordBatch]:
        """Yield a batch of the columns of `SUMS`; nothing where there was no row."""
        there = np.flatnonzero(self.weights)
        if not len(there):
            return
        means = (self.vectors[there] / self.weights[there, None]).astype(np.float32)
        columns = [
            pa.array(np.concatenate([there, np.full(len(self.worst), -1)]).astype(np.int32)),
            arrow.lists(np.concatenate([means, *(row[None] for _, row in self.worst)])),
            pa.array(np.concatenate([self.weights[there], np.zeros(len(self.worst))])),
            pa.array(np.concatenate([self.costs[there], [cost for cost, _ in self.worst]])),
        ]
        yield pa.record_batch(columns, ["cluster", "mean", "weight", "cost"])


def _sums(batches: Iterable[pa.RecordBatch], model: KMeansModel) -> Iterator[pa.RecordBatch]:
    """Yield the sums of a partition's rows, and its worst served row."""
    part, centres = ClusterSums(*model.centroids.shape), Centres(model.centroids, model.metric)
    for batch in batches:
        checked = arrow.check_vectors(batch.column(0), model.centroids.shape[1])
        used = checked.usable
        if not used.any():
            continue
        rows, norms = checked.rows[used], checked.norms[used]
        cluster, distance = assign_rows(rows, norms, centres)
        cost = distance if model.metric == "cosine" else distance**2
        scale = 1.0 / norms if model.metric == "cosine" else np.ones(len(rows))
        np.add.at(part.weights, cluster, 1.0)
        np.add.at(part.costs, cluster, cost)
        part.vectors += sums_by_label(rows, scale, cluster, len(part.weights))
        if not part.worst or cost.max() > part.worst[0][0]:
            part.worst = [(float(cost.max()), rows[int(cost.argmax())])]
    yield from part.pack_sums()


def _add_sums(batches: Iterable[pa.RecordBatch], model: KMeansModel) -> Iterator[pa.RecordBatch]:
    """Yield the sums of several partitions as one."""
    whole = ClusterSums(*model.centroids.shape)
    for batch in batches:
        whole.add(batch)
    yield from whole.pack_sums()
