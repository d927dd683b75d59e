"""A table of vectors as a few weighted means, in one pass; what comes to the driver does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.clustering import KMeansSpec, in_parts
from twigma_spark.estimators.coreset import Metric, Vectors, summary
from twigma_spark.estimators.drawing import draw_rows
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows
from twigma_spark.vectors import unit_rows

# Vectors that a worker holds, in bytes; a partition of a file scan (128 MB) is one block.
BLOCK = 160 << 20
# Summaries are merged to at most so many a task.
MERGED = 8192
# Summaries that a partition may hold between its blocks, in multiples of what it gives out.
HELD = 8
SUMMARY = "row INT, mean ARRAY<FLOAT>, weight DOUBLE"


@dataclass(frozen=True)
class Summary:
    """Weighted means (m, d), (m,) float32 that stand for the vectors of a table, or for some drawn from it."""

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


def summarise(vectors: DataFrame, spec: KMeansSpec) -> Summary:
    """Return a weighted summary of the table, from which any number of clusterings can be fitted.

    Of a table with more than `spec.rows` vectors, about so many take part, the same ones whatever the partitioning.
    Where vectors have several lengths, those of the most frequent length take part.

    Args:
        vectors: image_id, embedding.
        spec: metric, seed and how fine.
    """
    some = draw_rows(vectors, spec.rows / max(count_rows(vectors), 1), spec.seed).select("image_id", "embedding")
    if spec.draws:
        return _bring(some, spec.metric)
    passed = some.mapInArrow(partial(_summaries, spec=spec), SUMMARY)
    # The rows of a partition stay together and in order, so that the merged summaries are always the same.
    parts = passed.withColumn("part", F.spark_partition_id())
    merged = in_parts(parts, "row").mapInArrow(partial(_merge_summaries, spec=spec), SUMMARY)
    table = arrow.collect(merged)
    means = table.column("mean").combine_chunks()
    lengths = pa.compute.list_value_length(means).to_numpy(zero_copy_only=False)
    weights = table.column("weight").to_numpy().astype(np.float32)
    if not len(lengths):
        return Summary(np.empty((0, 1), np.float32), weights)
    usual = lengths == np.bincount(lengths, weights).argmax()
    return Summary(arrow.matrix(means.filter(pa.array(usual))), weights[usual])


def _bring(rows: DataFrame, metric: Metric) -> Summary:
    """Return rows (image_id, embedding) that were drawn, each standing for itself, in order of their ids."""
    ready = rows.mapInArrow(partial(_ready, metric=metric), "image_id STRING, embedding ARRAY<FLOAT>")
    batches = list(arrow.stream(ready))
    lengths = [pa.compute.list_value_length(b.column(1)).to_numpy(zero_copy_only=False) for b in batches]
    if not lengths:
        return Summary(np.empty((0, 1), np.float32), np.empty(0, np.float32))
    usual = int(np.bincount(np.concatenate(lengths)).argmax())
    batches = [b.filter(pa.array(own == usual)) for b, own in zip(batches, lengths, strict=True)]
    place = arrow.ranks(pa.concat_arrays([b.column(0) for b in batches]))
    points, at = np.empty((len(place), usual), np.float32), 0
    while batches:
        batch = batches.pop()
        at += batch.num_rows
        points[place[len(place) - at : len(place) - at + batch.num_rows]] = arrow.matrix(batch.column(1))
    return Summary(points, np.ones(len(points), np.float32))


def _ready(batches: Iterable[pa.RecordBatch], metric: Metric) -> Iterator[pa.RecordBatch]:
    """Yield the rows that can be used, under the cosine with length 1."""
    for batch in batches:
        lengths = pa.compute.list_value_length(batch.column(1)).fill_null(0).to_numpy(zero_copy_only=False)
        for length in np.unique(lengths[lengths > 0]):
            checked = arrow.check_vectors(batch.column(1), int(length))
            if checked.usable.any():
                rows = checked.rows[checked.usable]
                ids = batch.column(0).filter(pa.array(checked.usable))
                yield pa.record_batch(
                    [ids, arrow.lists(unit_rows(rows) if metric == "cosine" else rows)], ["image_id", "embedding"]
                )


def _summaries(batches: Iterable[pa.RecordBatch], spec: KMeansSpec) -> Iterator[pa.RecordBatch]:
    """Yield the weighted means of a partition, reduced block by block so that memory stays bounded."""
    held: dict[int, list[tuple[Vectors, Vectors]]] = {}
    for rows, scale in _blocks(batches, spec.metric):
        parts = held.setdefault(rows.shape[1], [])
        parts.append(summary(rows, np.ones(len(rows), np.float32), spec.groups, spec.seed, spec.metric, scale))
        if sum(len(mean) for mean, _ in parts) > HELD * spec.groups:
            parts[:] = [_reduce_means(parts, spec.groups, spec)]
    for _, parts in sorted(held.items()):
        yield _pack_summary(*_reduce_means(parts, spec.groups, spec))


def _merge_summaries(batches: Iterable[pa.RecordBatch], spec: KMeansSpec) -> Iterator[pa.RecordBatch]:
    """Yield the summaries of several partitions as at most `MERGED` (or 2 k) of them."""
    held: dict[int, list[tuple[Vectors, Vectors]]] = {}
    most = max(MERGED, 2 * spec.k)
    for batch in batches:
        for dim, part in _by_length(batch):
            parts = held.setdefault(dim, [])
            parts.append(part)
            if sum(len(mean) for mean, _ in parts) > HELD * most:
                parts[:] = [_reduce_means(parts, most, spec)]
    for _, parts in sorted(held.items()):
        yield _pack_summary(*_reduce_means(parts, most, spec))


def _by_length(batch: pa.RecordBatch) -> Iterator[tuple[int, tuple[Vectors, Vectors]]]:
    means, weights = batch.column("mean"), batch.column("weight").to_numpy().astype(np.float32)
    lengths = pa.compute.list_value_length(means).to_numpy(zero_copy_only=False)
    for dim in np.unique(lengths):
        same = lengths == dim
        yield int(dim), (arrow.matrix(means.filter(pa.array(same))), weights[same])


def _reduce_means(parts: list[tuple[Vectors, Vectors]], most: int, spec: KMeansSpec) -> tuple[Vectors, Vectors]:
    means, weights = zip(*parts, strict=True)
    return summary(np.concatenate(means), np.concatenate(weights), most, spec.seed, spec.metric)


def _pack_summary(means: Vectors, weights: Vectors) -> pa.RecordBatch:
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
        checked = arrow.check_vectors(vectors, int(dim))
        kept = order[checked.usable[order]]
        if len(kept):
            scale = 1.0 / checked.norms[kept] if metric == "cosine" else np.ones(len(kept), np.float32)
            yield checked.rows[kept], scale.astype(np.float32)
