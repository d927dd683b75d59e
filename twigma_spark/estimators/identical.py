"""Pairs of images with equal keys, and pairs whose embeddings are the same but for what a computation adds.

The same image gives slightly other vectors in another batch or on another device. Rounded elements do not
agree then: of 768 elements some lie next to a border. Here the vectors are projected onto a few directions
and each projection is cut into cells that overlap by the tolerance, so that two vectors within it always
share a cell; those that share one are compared. Equal vectors are within any tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import Once
from twigma_spark.estimators.coreset import Vectors
from twigma_spark.io import arrow
from twigma_spark.io.frames import broadcast_few
from twigma_spark.vectors import unit_rows

EDGES = "a STRING, b STRING"
# Projections, and the width of a cell in tolerances: a vector is in 1.3 cells on average.
DIRECTIONS, WIDTH = 8, 32.0
# What 32-bit projections of equal vectors differ by in two batches.
ROUNDING = 1e-6
# Rows that share a cell and are sent to every task, 40 MB; where there are more, the vectors are shuffled to them.
FEW = 500_000
# Rows of one key compared at once.
BLOCK = 4096


def edges_by_key(images: DataFrame, key: str) -> DataFrame:
    """Return edges a, b from each image to the least id of its corpus with the same key; nulls join nothing."""
    keyed = images.where(F.col(key).isNotNull()).select("image_id", "corpus", key)
    least = keyed.groupBy("corpus", key).agg(F.min("image_id").alias("b"), F.count("*").alias("n")).where("n > 1")
    return keyed.join(least, ["corpus", key]).where("image_id <> b").select(F.col("image_id").alias("a"), "b")


def edges_by_vector(vectors: DataFrame, tolerance: float, once: Once) -> DataFrame:
    """Return edges a, b between images of a corpus whose directions differ by at most `tolerance`.

    Every image of such a pair has an edge, though not to every other one of a group. Vectors are read once to
    be projected; only those that share a cell are read and moved a second time.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of one length.
        tolerance: length of the difference of two unit vectors; a cosine of 1 - tolerance²/2.
        once: computes a frame one time and returns what was computed.
    """
    cells = vectors.select("image_id", "corpus", "embedding").mapInArrow(
        partial(_cells, tolerance=tolerance), "image_id STRING, corpus STRING, cell BINARY"
    )
    own = cells.withColumn("cell", F.concat("cell", F.encode("corpus", "utf-8")))
    crowded = own.groupBy("cell").agg(F.collect_list("image_id").alias("ids")).where("size(ids) > 1")
    together = once(crowded.select("cell", F.explode("ids").alias("image_id")))
    held = vectors.select("image_id", "embedding").join(broadcast_few(together, FEW), "image_id")
    sorted_cells = held.select("cell", "image_id", "embedding").repartition("cell").sortWithinPartitions("cell")
    return sorted_cells.mapInArrow(partial(_same, tolerance=tolerance), EDGES).distinct()


def _cells(batches: Iterable[pa.RecordBatch], tolerance: float) -> Iterator[pa.RecordBatch]:
    """Yield each image with every cell that it is in."""
    for batch in batches:
        if not batch.num_rows:
            continue
        shares = (unit_rows(arrow.matrix(batch.column(2))) @ _directions(batch.column(2)).T).astype(np.float64)
        overlap = tolerance / 2 + ROUNDING
        ends = [np.floor((shares + side * overlap) / (WIDTH * 2 * overlap)).astype(np.int64) for side in (-1, 1)]
        digests, places = _digests(*ends)
        again = pa.array(places)
        columns = [batch.column(0).take(again), batch.column(1).take(again), pa.array(digests, pa.binary())]
        yield pa.record_batch(columns, ["image_id", "corpus", "cell"])


def _directions(column: pa.Array) -> Vectors:
    """Return unit directions (8, d), always the same ones for a length."""
    dim = arrow.matrix(column.slice(0, 1)).shape[1]
    return unit_rows(np.random.default_rng(dim).standard_normal((DIRECTIONS, dim)).astype(np.float32))


def _digests(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[list[bytes], list[int]]:
    """Return digests of the cells of each row, and the rows; where low and high are one, there is one cell."""
    digests, places = [], []
    plain = (low == high).all(axis=1)
    for place, (one, other) in enumerate(zip(low, high, strict=True)):
        choices = (
            [one] if plain[place] else product(*({a, b} for a, b in zip(one.tolist(), other.tolist(), strict=True)))
        )
        for choice in choices:
            digests.append(blake2b(np.asarray(choice, np.int64).tobytes(), digest_size=16).digest())
            places.append(place)
    return digests, places


def _same(batches: Iterable[pa.RecordBatch], tolerance: float) -> Iterator[pa.RecordBatch]:
    """Yield edges within each cell; the rows of a cell come together, and it is held while it lasts."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        borders = np.flatnonzero(pa.compute.not_equal(batch.column(0)[1:], batch.column(0)[:-1]).to_numpy(False)) + 1
        for start, end in zip([0, *borders], [*borders, batch.num_rows], strict=True):
            part = batch.slice(int(start), int(end - start))
            if held and held[0].column(0)[0] != part.column(0)[0]:
                yield _edges(held, tolerance)
                held = []
            held.append(part)
    if held:
        yield _edges(held, tolerance)


def _edges(held: list[pa.RecordBatch], tolerance: float) -> pa.RecordBatch:
    """Return edges of one cell: the least id that is left leads, all within the tolerance follow it."""
    ids = np.concatenate([b.column(1).to_numpy(zero_copy_only=False) for b in held])
    rows = unit_rows(np.concatenate([arrow.matrix(b.column(2)) for b in held]))
    order = np.argsort(ids, kind="stable")
    ids, rows = ids[order], rows[order]
    free, edges = np.ones(len(ids), bool), []
    while free.any():
        leader = int(np.argmax(free))
        near = _within(rows, rows[leader], tolerance)
        near[leader] = False
        edges += [(ids[max(n, leader)], ids[min(n, leader)]) for n in np.flatnonzero(near)]
        free &= ~near
        free[leader] = False
    names = list(zip(*edges, strict=True)) or [(), ()]
    return pa.record_batch([pa.array(names[0], pa.string()), pa.array(names[1], pa.string())], ["a", "b"])


def _within(rows: Vectors, leader: Vectors, tolerance: float) -> NDArray[np.bool_]:
    parts = (rows[at : at + BLOCK] - leader for at in range(0, len(rows), BLOCK))
    return np.concatenate([np.einsum("ij,ij->i", part, part) <= tolerance**2 for part in parts])
