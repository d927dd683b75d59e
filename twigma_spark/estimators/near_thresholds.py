"""From which cosine two images are candidates, and in how many bits the hashes of near-duplicates may differ.

Both depend on the encoder and on the images. The cosine is what few unrelated images of a sample reach. For the bits,
images turned upside down are searched in the same way: nobody posts such copies, so what agrees with them agrees by
chance and estimates the false pairs, as decoys do in the identification of peptides (Elias & Gygi 2007, Nature
Methods 4). Mirrored copies are common and would be taken for chance; where rotated copies are searched for, the decoys
are negatives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.drawing import draw_rows, is_drawn
from twigma_spark.estimators.near import Reach, exact_pairs
from twigma_spark.estimators.perceptual import pixel_vectors
from twigma_spark.estimators.products import inner_products
from twigma_spark.io import arrow
from twigma_spark.models.hashes import BITS, FLIP, NEGATIVE
from twigma_spark.results import Result, Value
from twigma_spark.stats.intervals import poisson
from twigma_spark.vectors import unit_rows

# Texts on a picture and crops of 5% change up to some 40 bits; images of one prompt differ in 60 and more.
MOST_BITS = 40
# Of the pairs that are taken, the share that may be false.
MOST_FALSE = 0.01
# Images whose cosines are the background, unrelated candidates of an image on average, and images with decoys.
BACKGROUND, UNRELATED, DECOYS = 2000, 2.0, 2000


def calibrate_similarity(vectors: DataFrame, pixels: DataFrame, rows: int, alike: Reach) -> Result:
    """Return the cosine that an unrelated image of the corpus reaches UNRELATED times an image, as a result.

    Args:
        vectors: image_id, corpus, embedding; those of `is_background` are enough.
        pixels: the pixel vectors of the same images; pairs that they make candidates are not taken for unrelated.
        rows: how many images there are.
        alike: which pixel vectors make candidates; its seed draws the sample.
    """
    some = draw_rows(vectors, _share(rows), alike.seed).select("image_id", "corpus", "embedding")
    own = pixels.select("image_id", F.col("embedding").alias("pixels"))
    table = arrow.collect(some.join(own, "image_id").select("image_id", "corpus", "embedding", "pixels"))
    cosines = _compare_unrelated(table.combine_chunks(), alike.similarity)
    share = min(1.0, UNRELATED / max(rows - 1, 1))
    estimate = float(np.quantile(cosines, 1 - share, method="higher")) if len(cosines) else None
    method = (
        f"cosine that {share:.2g} of the pairs of unrelated images reach, {UNRELATED:g} an image; "
        f"unrelated: of one corpus, pixel vectors below {alike.similarity:g}"
    )
    return Result.of("duplicates", "candidate_similarity", Value(estimate, None, None, len(cosines), "pairs", method))


def is_background(rows: int, alike: Reach) -> Column:
    """Return whether a vector, which has image_id, is one of those that `calibrate_similarity` compares."""
    return is_drawn(_share(rows), alike.seed)


def _share(rows: int) -> float:
    return BACKGROUND / max(rows, 1)


def calibrate_bits(
    pairs: DataFrame,
    hashes: DataFrame,
    rows: int,
    alike: Reach,
    bits: int | None,
    orientations: str,
    compare: Callable[[DataFrame], DataFrame],
) -> tuple[int, list[Result]]:
    """Return in how many bits the hashes may differ, and as results that number and the false pairs expected.

    Args:
        pairs: the candidates with their `bits`.
        hashes: image_id, corpus, vector, windows.
        rows: how many there are.
        alike: which pixel vectors make candidates; its seed draws the images with decoys.
        bits: what is configured; None for the largest number, up to MOST_BITS, with at most MOST_FALSE false pairs.
        orientations: which copies were searched for.
        compare: returns pairs with their `bits`.
    """
    decoy = NEGATIVE if orientations == "all" else FLIP
    share = min(1.0, DECOYS / max(rows, 1))
    decoys = pixel_vectors(draw_rows(hashes, share, alike.seed), (decoy,))
    agreed = _count_bits(compare(exact_pairs(decoys, pixel_vectors(hashes, (0,)), alike)))
    accepted = _count_bits(pairs)
    # A pair of two images has two decoys, one of each, if both are drawn.
    scale = 1 / (2 * share)
    if bits is None:
        allowed = np.flatnonzero(agreed[: MOST_BITS + 1] * scale <= MOST_FALSE * accepted[: MOST_BITS + 1])
        bits = int(allowed[-1]) if len(allowed) else 0
        why = f"most bits, up to {MOST_BITS}, at which at most {MOST_FALSE:.0%} of the pairs are expected to be false"
    else:
        why = "as configured"
    n = int(accepted[bits])
    results = [Result.of("duplicates", "hash_bits", Value(float(bits), None, None, n, "near-duplicate pairs", why))]
    if n:
        low, high = poisson(int(agreed[bits]))
        name = "negatives" if decoy == NEGATIVE else "upside-down images"
        method = (
            f"pairs that agree with {name}, of {share:.2%} of the images, against the pairs found; exact Poisson, 95%"
        )
        share_of = [min(1.0, count * scale / n) for count in (float(agreed[bits]), low, high)]
        value = Value(share_of[0], share_of[1], share_of[2], n, "near-duplicate pairs", method)
        results.append(Result.of("duplicates", "false_pairs", value, bits=bits))
    return bits, results


def _count_bits(pairs: DataFrame) -> NDArray[np.int64]:
    """Return how many pairs differ in at most 0, 1, ... 256 bits."""
    counts = np.zeros(BITS + 1, np.int64)
    for row in pairs.groupBy("bits").count().collect():
        counts[row["bits"]] = row["count"]
    return np.cumsum(counts)


def _compare_unrelated(table: pa.Table, alike: float) -> NDArray[np.float32]:
    """Return the cosines of all pairs of one corpus whose pixel vectors are not alike."""
    corpus = table.column("corpus").to_numpy()
    embeddings, pixels = (
        unit_rows(arrow.matrix(table.column(name).combine_chunks())) if len(table) else np.empty((0, 1), np.float32)
        for name in ("embedding", "pixels")
    )
    same = np.triu(corpus[:, None] == corpus[None, :], 1) & (inner_products(pixels, pixels) < alike)
    return np.asarray(inner_products(embeddings, embeddings)[same], np.float32)
