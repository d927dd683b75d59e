"""Near-duplicates: images whose perceptual hashes agree, found among candidates by pixels and by embeddings.

Embeddings alone take two pictures of one thing for one picture, and lose a copy of half the size where the encoder
does; pixel vectors alone lose a picture in a frame. Each finds candidates, and the windows of the hashes decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import Once
from twigma_spark.estimators.near import Reach, close_pairs, compares_all, is_sampled
from twigma_spark.estimators.near_recall import draw_queries, recall_results
from twigma_spark.estimators.near_thresholds import calibrate_bits, calibrate_similarity, is_background
from twigma_spark.estimators.perceptual import compare_windows, pixel_vectors
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows, union
from twigma_spark.models.hashes import TURNS
from twigma_spark.results import Result

PAIRS = "a STRING, b STRING, turn INT, across BOOLEAN, similarity DOUBLE, pixels DOUBLE, bits INT"
# The column of the cosine by which each search finds its candidates.
COSINES = {"pixels": "pixels", "embeddings": "similarity"}


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


def find_lookalikes(hashes: DataFrame, vectors: DataFrame, likeness: Likeness | None, once: Once) -> Lookalikes:
    """Return the candidates, which of them are near, and the thresholds; nothing without a likeness.

    Args:
        hashes: image_id, vector and windows, rows of the table; an image without one is near to none.
        vectors: image_id, corpus, embedding.
        likeness: what makes two images near.
        once: computes a frame one time and returns what was computed.
    """
    if likeness is None:
        return Lookalikes(arrow.local_frame(vectors.sparkSession, [], f"{PAIRS}, near BOOLEAN"), [])
    ids = vectors.select("image_id", "corpus")
    own = once(ids.join(hashes, "image_id").select("image_id", "corpus", "vector", "windows"))
    rows, upright = count_rows(own), pixel_vectors(own, (0,))
    turned = pixel_vectors(own, TURNS[likeness.orientations])
    searches: dict[str, tuple[DataFrame, Reach, DataFrame | None]] = {"pixels": (turned, likeness.pixels, None)}
    results = []
    if likeness.embeddings is not None:
        embeddings, reach = vectors.withColumn("turn", F.lit(0)), likeness.embeddings
        gathered = _sample(embeddings, rows, likeness.pixels, reach, once)
        if likeness.calibrate:
            threshold = calibrate_similarity(gathered, upright, rows, likeness.pixels)
            results.append(threshold)
            reach = replace(reach, similarity=threshold.estimate or reach.similarity)
        searches["embeddings"] = (embeddings, reach, gathered)
    candidates = {name: close_pairs(whole, rows, reach, sample) for name, (whole, reach, sample) in searches.items()}
    compare = partial(compare_windows, hashes=own, once=once)
    pairs = once(compare(_merge(candidates)))
    bits, calibrated = calibrate_bits(pairs, own, rows, likeness.pixels, likeness.bits, likeness.orientations, compare)
    near = pairs.withColumn("near", F.col("bits") <= bits)
    for name, (whole, reach, sample) in searches.items():
        known = near.where(F.col(COSINES[name]).isNotNull())
        alike = partial(_near_ones, compare=compare, bits=bits)
        calibrated += recall_results(name, whole, rows, known, reach, alike, sample=sample)
    return Lookalikes(near, results + calibrated)


def _sample(vectors: DataFrame, rows: int, alike: Reach, reach: Reach, once: Once) -> DataFrame:
    """Return the vectors that a threshold, the pivots and the recall are found on, gathered in one pass."""
    if compares_all(rows):  # there are no pivots and no recall
        return vectors
    asked = F.broadcast(draw_queries(vectors, reach).withColumn("asked", F.lit(True)))
    drawn = is_background(rows, alike) | is_sampled(rows, reach) | F.col("asked").isNotNull()
    return once(vectors.join(asked, "image_id", "left").where(drawn).drop("asked"))


def _near_ones(pairs: DataFrame, compare: Callable[[DataFrame], DataFrame], bits: int) -> DataFrame:
    return compare(pairs).where(F.col("bits") <= bits)


def _merge(candidates: dict[str, DataFrame]) -> DataFrame:
    """Return each pair once, with its cosine by each search that found it."""
    parts = []
    for name, pairs in candidates.items():
        own = {
            column: F.col("similarity") if by == name else F.lit(None).cast("double") for by, column in COSINES.items()
        }
        parts.append(pairs.select("a", "b", "turn", "across", *(value.alias(column) for column, value in own.items())))
    return (
        union(parts)
        .groupBy("a", "b", "turn", "across")
        .agg(F.max("similarity").alias("similarity"), F.max("pixels").alias("pixels"))
    )
