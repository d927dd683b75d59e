"""Images that repeat another one of their corpus: same media, same bytes, or the same embedding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from twigma_spark.io import arrow

# From strict to loose, with the column whose equal values join images.
TIERS = {"media": "media_key", "bytes": "sha256", "embedding": "vector_key"}


def find_duplicates(images: DataFrame, vectors: DataFrame, decimals: int) -> DataFrame:
    """Return image_id, canonical_id, tier and similarity (cosine) of the images that repeat another.

    Only images that have a vector take part, so that a survivor can be used and a reject is not counted
    as a duplicate as well. Runs one job; the driver holds the images that share a key, without vectors.

    Args:
        images: image_id, corpus, media_key, sha256, created_at, width, height.
        vectors: image_id, embedding; usable vectors of one length.
        decimals: digits that the elements of identical embeddings agree in after rounding. Digests of
            256 bits are compared, of embeddings here as of bytes in sha256.
    """
    found = survivors(arrow.collect(_sharing(images, vectors, decimals)).to_pandas())
    batch = pa.RecordBatch.from_pandas(found, pa.schema([(name, pa.string()) for name in found.columns]))
    pairs = arrow.frame_of(images.sparkSession, [batch], "image_id STRING, canonical_id STRING, tier STRING")
    return _with_similarity(pairs, vectors)


def survivors(images: pd.DataFrame) -> pd.DataFrame:
    """Return image_id, canonical_id and tier (str) of the images that are not the survivor of their group.

    Images are joined by equal keys within their corpus, also through others: if a has b's media and b has
    c's bytes, the three are one group. Of a group survives the earliest (unknown times last), then the
    largest, then the least id. The tier is the strictest at which a better image is in reach: through equal
    media alone, then through media and bytes, then through all three.

    Args:
        images: image_id, corpus, media_key, sha256, vector_key (str or None), created_at (sortable, may be
            missing), pixels; one row an image.
    """
    best_first = images.sort_values(
        ["created_at", "pixels", "image_id"], ascending=[True, False, True], na_position="last"
    ).reset_index(drop=True)
    ids = best_first["image_id"].to_numpy(object)
    place = np.arange(len(ids))
    tier = np.full(len(ids), None, object)
    edges, survivor = np.empty((0, 2), np.int64), place
    for name, key in TIERS.items():
        edges = np.concatenate([edges, _chains(best_first, key)])
        survivor = _first_of_component(edges, len(ids))
        tier[(survivor < place) & pd.isna(tier)] = name
    lost = survivor < place
    return pd.DataFrame({"image_id": ids[lost], "canonical_id": ids[survivor[lost]], "tier": tier[lost]}, dtype=object)


def _chains(images: pd.DataFrame, key: str) -> NDArray[np.int64]:
    """Return edges (m, 2) from each row to the next one of its corpus with the same key; nulls join nothing."""
    keyed = images[images[key].notna()]
    group = keyed.groupby(["corpus", key], sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    rows = keyed.index.to_numpy()[order]
    same = np.diff(group[order]) == 0
    return np.column_stack([rows[:-1][same], rows[1:][same]])


def _first_of_component(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the least row of each row's connected component (n,)."""
    graph = sparse.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    first = np.full(n, n, np.int64)
    np.minimum.at(first, label, np.arange(n))
    return np.asarray(first[label], np.int64)


def _sharing(images: DataFrame, vectors: DataFrame, decimals: int) -> DataFrame:
    """Return the images that share a key with another one of their corpus, as `survivors` takes them."""
    digests = vectors.select("image_id", "embedding").mapInArrow(
        partial(_digests, decimals=decimals), "image_id STRING, vector_key STRING"
    )
    facts = images.select(
        "image_id", "corpus", "media_key", "sha256",
        F.unix_micros("created_at").alias("created_at"),
        (F.col("width").cast("long") * F.col("height")).alias("pixels"),
    ).join(digests, "image_id")  # fmt: skip
    for key in TIERS.values():
        facts = facts.withColumn(f"n_{key}", _images_with(key))
    shared = facts.where(" OR ".join(f"n_{key} > 1" for key in TIERS.values()))
    return shared.select("image_id", "corpus", *TIERS.values(), "created_at", "pixels")


def _images_with(key: str) -> Column:
    """Return how many images of the corpus have the row's key; an image without one stands alone."""
    lonely = F.concat(F.lit("no key: "), "image_id")
    return F.count("*").over(Window.partitionBy("corpus", F.coalesce(F.col(key), lonely)))


def _digests(batches: Iterable[pa.RecordBatch], decimals: int) -> Iterator[pa.RecordBatch]:
    """Yield a digest of each embedding's elements in units of the last decimal."""
    for batch in batches:
        # Adding 0 turns -0, which rounds from small negative numbers, into 0.
        rounded = np.rint(arrow.matrix(batch.column(1)).astype(np.float64) * 10.0**decimals) + 0.0
        digests = [blake2b(row, digest_size=32).hexdigest() for row in np.ascontiguousarray(rounded)]
        yield pa.record_batch([batch.column(0), pa.array(digests, pa.string())], ["image_id", "vector_key"])


def _with_similarity(pairs: DataFrame, vectors: DataFrame) -> DataFrame:
    """Return the pairs with the cosine of their embeddings; only vectors of pairs leave their partition."""
    left = vectors.select("image_id", F.col("embedding").alias("a")).join(F.broadcast(pairs), "image_id")
    right = vectors.select(F.col("image_id").alias("canonical_id"), F.col("embedding").alias("b"))
    wanted = F.broadcast(pairs.select("canonical_id").distinct())
    both = left.join(right.join(wanted, "canonical_id"), "canonical_id")
    schema = "image_id STRING, canonical_id STRING, tier STRING, similarity DOUBLE"
    return both.select("image_id", "canonical_id", "tier", "a", "b").mapInArrow(_similar, schema)


def _similar(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the cosine of each row's two embeddings in place of them."""
    for batch in batches:
        a, b = (arrow.unit(arrow.matrix(batch.column(n))) for n in (3, 4))
        cosine = np.einsum("ij,ij->i", a, b, dtype=np.float64).clip(-1.0, 1.0)
        columns = [*batch.columns[:3], pa.array(cosine)]
        yield pa.record_batch(columns, ["image_id", "canonical_id", "tier", "similarity"])
