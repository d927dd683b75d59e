"""Frames of perceptual hashes: pixel vectors in any orientation to search with, and pairs compared by their windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import Once
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows
from twigma_spark.models.hashes import distance, turn_vectors, turn_windows, unpack_windows

# Pairs that are sent to every task, 40 MB with the windows of one of the two.
FEW = 50_000
PIXELS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>, turn INT"


def pixel_vectors(hashes: DataFrame, turns: Sequence[int]) -> DataFrame:
    """Return image_id, corpus, embedding and turn: each image's pixel vector in each orientation, none of flat ones."""
    return hashes.select("image_id", "corpus", "vector").mapInArrow(partial(_turn, turns=turns), PIXELS)


def compare_windows(pairs: DataFrame, hashes: DataFrame, once: Once) -> DataFrame:
    """Return the pairs with `bits`, in which the hashes of the two differ; a is turned before.

    A few pairs are sent to the hashes. Many are shuffled to them, and the hashes are shuffled once.

    Args:
        pairs: a, b, turn, across and further columns.
        hashes: image_id, windows.
        once: computes a frame one time and returns what was computed.
    """
    known, windows = once(pairs), hashes.select("image_id", "windows")
    few = count_rows(known) <= FEW
    for end, name in (("a", "one"), ("b", "other")):
        # Spark would shuffle the hashes before it knows how few the pairs are.
        known = windows.toDF(end, name).join(F.broadcast(known) if few else known, end)
    columns = [*(field.name for field in pairs.schema.fields), "one", "other"]
    kept = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in pairs.schema.fields)
    return known.select(*columns).mapInArrow(_compare, f"{kept}, bits INT")


def _turn(batches: Iterable[pa.RecordBatch], turns: Sequence[int]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        halves = np.frombuffer(b"".join(batch.column(2).to_pylist()), np.float16).reshape(batch.num_rows, -1)
        known = np.flatnonzero(halves.any(axis=1))
        ids, corpora = batch.column(0).take(pa.array(known)), batch.column(1).take(pa.array(known))
        for turn in turns:
            vectors = turn_vectors(halves[known].astype(np.float32), turn)
            columns = [ids, corpora, arrow.lists(vectors), pa.array(np.full(len(known), turn, np.int32))]
            yield pa.record_batch(columns, ["image_id", "corpus", "embedding", "turn"])


def _compare(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield in how many bits the hashes of each pair differ, in place of them."""
    for batch in batches:
        if not batch.num_rows:
            continue
        one, other = (unpack_windows(batch.column(name).to_pylist()) for name in ("one", "other"))
        turns, bits = batch.column("turn").to_numpy(), np.empty(batch.num_rows, np.int32)
        for turn in np.unique(turns):
            rows = turns == turn
            bits[rows] = distance(turn_windows(one[rows], int(turn)), other[rows])
        names = [name for name in batch.schema.names if name not in ("one", "other")]
        yield pa.record_batch([*(batch.column(name) for name in names), pa.array(bits)], [*names, "bits"])
