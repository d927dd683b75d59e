"""Near-duplicates: images of a corpus with close embeddings whose perceptual hashes agree.

Embeddings alone take two pictures of one thing for one picture; hashes alone meet by chance among millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import Once
from twigma_spark.estimators.near import Reach, close_pairs
from twigma_spark.io import arrow
from twigma_spark.io.session import arrow_batches
from twigma_spark.models.decode import MAX_PIXELS, ImageError
from twigma_spark.models.hashes import BITS, distance, hashes

PAIRS = "a STRING, b STRING, similarity DOUBLE, bits INT"
# Files that travel to Python at once.
FILES = 64


@dataclass(frozen=True)
class Likeness:
    """What makes two images near-duplicates.

    Attributes:
        reach: which embeddings are close.
        bits: of 256, in which their perceptual hashes may differ; None compares no pixels.
        max_pixels: larger images are not hashed, and so are near to none.
    """

    reach: Reach
    bits: int | None = None
    max_pixels: int = MAX_PIXELS


def lookalikes(images: DataFrame, vectors: DataFrame, how: Likeness | None, once: Once) -> DataFrame:
    """Return a, b, similarity, bits and near of the pairs with close embeddings; none without a likeness.

    Args:
        images: image_id, content; only those of a pair are decoded.
        vectors: image_id, corpus, embedding.
        how: what makes two images near.
        once: computes a frame one time and returns what was computed.
    """
    if how is None:
        return arrow.local_frame(images.sparkSession, [], f"{PAIRS}, near BOOLEAN")
    close = once(close_pairs(vectors, vectors.count(), how.reach))
    if how.bits is None:
        return close.withColumns({"bits": F.lit(None).cast("int"), "near": F.lit(True)})
    with arrow_batches(images.sparkSession, FILES):
        hashed = once(_hashes(images, close, how.max_pixels))
    both = close.join(hashed.toDF("a", "one"), "a").join(hashed.toDF("b", "other"), "b")
    compared = both.select("a", "b", "similarity", "one", "other").mapInArrow(_compare_hashes, PAIRS)
    return once(compared.withColumn("near", F.col("bits") <= how.bits))


def _hashes(images: DataFrame, pairs: DataFrame, max_pixels: int) -> DataFrame:
    ids = pairs.select(F.col("a").alias("image_id")).union(pairs.select("b")).distinct()
    shown = images.select("image_id", "content").join(F.broadcast(ids), "image_id", "left_semi")
    return shown.mapInArrow(partial(_hash_batches, max_pixels=max_pixels), "image_id STRING, hashes BINARY")


def _hash_batches(batches: Iterable[pa.RecordBatch], max_pixels: int) -> Iterator[pa.RecordBatch]:
    """Yield the hashes of the images that can be decoded."""
    for batch in batches:
        names, found = [], []
        for name, content in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            try:
                found.append(hashes(content.as_py() or b"", max_pixels).tobytes())
            except ImageError:
                continue
            names.append(name)
        yield pa.record_batch([pa.array(names, pa.string()), pa.array(found, pa.binary())], ["image_id", "hashes"])


def _compare_hashes(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield in how many bits the hashes of each pair differ, in place of them."""
    for batch in batches:
        if batch.num_rows:
            joined = (b"".join(batch.column(n).to_pylist()) for n in (3, 4))
            one, other = (np.frombuffer(h, np.uint8).reshape(batch.num_rows, -1, BITS // 8) for h in joined)
            bits = pa.array(distance(one, other).astype(np.int32))
            yield pa.record_batch([*batch.columns[:3], bits], ["a", "b", "similarity", "bits"])
