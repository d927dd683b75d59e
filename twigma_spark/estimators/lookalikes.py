"""Near-duplicates: images whose perceptual hashes agree, found among candidates by pixels and by embeddings.

Embeddings alone take two pictures of one thing for one picture, and lose a copy of half the size where the encoder
does; pixel vectors alone lose a picture in a frame. Each finds candidates, and the windows of the hashes decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import Once
from twigma_spark.estimators.near import Reach, close_pairs
from twigma_spark.estimators.near_recall import recall_results
from twigma_spark.estimators.near_thresholds import calibrate_bits, calibrate_similarity
from twigma_spark.io import arrow
from twigma_spark.models.hashes import BITS, TURNS, distance, turn_vectors, turn_windows
from twigma_spark.results import Result

PIXELS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>, turn INT"
PAIRS = "a STRING, b STRING, turn INT, across BOOLEAN, similarity DOUBLE, pixels DOUBLE, bits INT"


@dataclass(frozen=True)
class Likeness:
    """What makes two images near-duplicates.

    Attributes:
        pixels: pixel vectors that make candidates, of one corpus or of two.
        embeddings: embeddings that make candidates; None none.
        calibrate: whether the least cosine of `embeddings` is replaced by what unrelated images reach.
        bits: of 256, in which the hashes may differ; None is calibrated.
        orientations: copies that are searched for: "upright", "mirrored" or "all" (mirrored and rotated).
    """

    pixels: Reach = field(default_factory=lambda: Reach(0.8, buckets=3, across=True))
    embeddings: Reach | None = None
    calibrate: bool = False
    bits: int | None = None
    orientations: str = "upright"


class Lookalikes(NamedTuple):
    """What was found.

    Attributes:
        pairs: the candidates: a, b, turn (of a), across, bits, near, and similarity and pixels, the cosines of the
            embeddings and of the pixel vectors; null where the pair is no candidate by them.
        results: the thresholds, what they rest on, and the recall of the searches.
    """

    pairs: DataFrame
    results: list[Result]


def find_lookalikes(hashes: DataFrame, vectors: DataFrame, how: Likeness | None, once: Once) -> Lookalikes:
    """Return the candidates, which of them are near, and the thresholds; nothing without a likeness.

    Args:
        hashes: image_id, vector and windows, rows of the table; an image without one is near to none.
        vectors: image_id, corpus, embedding.
        how: what makes two images near.
        once: computes a frame one time and returns what was computed.
    """
    if how is None:
        return Lookalikes(arrow.local_frame(vectors.sparkSession, [], f"{PAIRS}, near BOOLEAN"), [])
    ids = vectors.select("image_id", "corpus")
    own = once(ids.join(hashes, "image_id").select("image_id", "corpus", "vector", "windows"))
    rows, upright = own.count(), pixel_vectors(own, (0,))
    turned = pixel_vectors(own, TURNS[how.orientations])
    searches, results = {"pixels": (turned, how.pixels)}, []
    if how.embeddings is not None:
        embeddings, reach = vectors.withColumn("turn", F.lit(0)), how.embeddings
        if how.calibrate:
            threshold = calibrate_similarity(embeddings, upright, rows, how.pixels)
            results.append(threshold)
            reach = replace(reach, similarity=threshold.estimate or reach.similarity)
        searches["embeddings"] = (embeddings, reach)
    found = {name: close_pairs(searched, rows, reach) for name, (searched, reach) in searches.items()}
    compare = partial(compare_windows, hashes=own)
    pairs = once(compare(_merge(found)))
    bits, calibrated = calibrate_bits(pairs, upright, rows, how.pixels, how.bits, how.orientations, compare)
    near = pairs.withColumn("near", F.col("bits") <= bits)
    for name, (searched, reach) in searches.items():
        known = near.where(F.col({"pixels": "pixels", "embeddings": "similarity"}[name]).isNotNull())
        alike = partial(_near_ones, compare=compare, bits=bits)
        calibrated += recall_results(name, searched, rows, known, reach, alike)
    return Lookalikes(near, results + calibrated)


def _near_ones(pairs: DataFrame, compare: Callable[[DataFrame], DataFrame], bits: int) -> DataFrame:
    return compare(pairs).where(F.col("bits") <= bits)


def pixel_vectors(hashes: DataFrame, turns: Sequence[int]) -> DataFrame:
    """Return image_id, corpus, embedding and turn: each image's pixel vector in each orientation, none of flat ones."""
    return hashes.select("image_id", "corpus", "vector").mapInArrow(partial(_turn, turns=turns), PIXELS)


def compare_windows(pairs: DataFrame, hashes: DataFrame) -> DataFrame:
    """Return the pairs with `bits`, in which the hashes of the two differ; a is turned before.

    Args:
        pairs: a, b, turn, across, similarity, pixels.
        hashes: image_id, windows.
    """
    windows = hashes.select("image_id", "windows")
    both = pairs.join(windows.toDF("a", "one"), "a").join(windows.toDF("b", "other"), "b")
    columns = [*(field.name for field in pairs.schema.fields), "one", "other"]
    kept = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in pairs.schema.fields)
    return both.select(*columns).mapInArrow(_compare, f"{kept}, bits INT")


def _merge(found: dict[str, DataFrame]) -> DataFrame:
    """Return each pair once, with its cosine by each search that found it."""
    columns = {"embeddings": "similarity", "pixels": "pixels"}
    parts = []
    for name, pairs in found.items():
        own = {
            column: F.col("similarity") if by == name else F.lit(None).cast("double") for by, column in columns.items()
        }
        parts.append(pairs.select("a", "b", "turn", "across", *(value.alias(column) for column, value in own.items())))
    return (
        reduce(DataFrame.unionByName, parts)
        .groupBy("a", "b", "turn", "across")
        .agg(F.max("similarity").alias("similarity"), F.max("pixels").alias("pixels"))
    )


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
        joined = (b"".join(batch.column(name).to_pylist()) for name in ("one", "other"))
        one, other = (np.frombuffer(part, np.uint8).reshape(batch.num_rows, -1, BITS // 8) for part in joined)
        turns, bits = batch.column("turn").to_numpy(), np.empty(batch.num_rows, np.int32)
        for turn in np.unique(turns):
            rows = turns == turn
            bits[rows] = distance(turn_windows(one[rows], int(turn)), other[rows])
        names = [name for name in batch.schema.names if name not in ("one", "other")]
        yield pa.record_batch([*(batch.column(name) for name in names), pa.array(bits)], [*names, "bits"])
