"""Images that repeat another one of their corpus: the same media, the same bytes, or the identical embedding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial, reduce

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from twigma_spark.io import arrow

# From the strictest: what a tier implies, those after it do as well.
TIERS = ("media", "bytes", "embedding")
SCHEMA = "image_id STRING, canonical_id STRING, tier STRING"


def find_duplicates(images: DataFrame, vectors: DataFrame, decimals: int) -> DataFrame:
    """Return image_id, canonical_id, tier and similarity (cosine) of every image that repeats another one.

    Only images that share a key with another one reach the driver, without their vectors.

    Args:
        images: rows of the table `images`.
        vectors: image_id, corpus, embedding; images without a vector are left out.
        decimals: embeddings are identical where they agree to so many decimals.
    """
    keyed = vectors.mapInArrow(partial(_rounded, decimals=decimals), "image_id STRING, rounded STRING")
    about = images.select(
        "image_id",
        "corpus",
        "created_at",
        (F.col("width") * F.col("height")).alias("pixels"),
        F.col("media_key").alias("media"),
        F.col("sha256").alias("bytes"),
    ).join(keyed.withColumnRenamed("rounded", "embedding"), "image_id")
    crowds = [F.count(tier).over(Window.partitionBy("corpus", tier)) > 1 for tier in TIERS]
    shares = [F.col(tier).isNotNull() & crowd for tier, crowd in zip(TIERS, crowds, strict=True)]
    flagged = about.withColumn("shared", reduce(lambda a, b: a | b, shares))
    found = collapse(flagged.where("shared").drop("shared").toPandas())
    repeats = images.sparkSession.createDataFrame(list(found.itertuples(index=False)), SCHEMA)
    return _with_similarity(repeats, vectors)


def collapse(rows: pd.DataFrame) -> pd.DataFrame:
    """Return image_id, canonical_id and tier of the rows that repeat another one.

    Rows that share a key within a corpus are one group, also by way of a third row. The earliest of a group
    survives (a missing time is last), then the largest, then the least id. The tier is the strictest under
    which the image shares its key with any other of its group.

    Args:
        rows: image_id, corpus, created_at, pixels and one column a tier; null is no key.
    """
    rows = rows.sort_values(
        ["created_at", "pixels", "image_id"], ascending=[True, False, True], na_position="last"
    ).reset_index(drop=True)
    group = _components(rows)
    survivor = pd.Series(np.arange(len(rows))).groupby(group).transform("min").to_numpy()
    repeats = survivor != np.arange(len(rows))
    tier = np.full(len(rows), TIERS[-1], dtype=object)
    for name in reversed(TIERS):
        shared = rows.groupby(["corpus", name])[name].transform("size").to_numpy() > 1
        tier[shared] = name
    ids = rows["image_id"].to_numpy()
    return pd.DataFrame({"image_id": ids, "canonical_id": ids[survivor], "tier": tier})[repeats]


def _components(rows: pd.DataFrame) -> NDArray[np.int32]:
    """Return the group of each row; rows of one key are joined in a chain, so that edges are as few as rows."""
    ends: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for tier in TIERS:
        keyed = rows[rows[tier].notna()]
        before = pd.Series(keyed.index, index=keyed.index).groupby([keyed["corpus"], keyed[tier]]).shift()
        chained = before.dropna()
        ends.append((chained.index.to_numpy(), chained.to_numpy(dtype=np.int64)))
    one, other = (np.concatenate(side) for side in zip(*ends, strict=True))
    graph = coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=(len(rows), len(rows)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


def _rounded(batches: Iterable[pa.RecordBatch], decimals: int) -> Iterator[pa.RecordBatch]:
    """Yield each vector's key: a checksum of its unit direction, rounded; equal for equal vectors only."""
    for batch in batches:
        if batch.num_rows:
            ids = batch.column(batch.schema.get_field_index("image_id"))
            vectors = arrow.unit(arrow.matrix(batch.column(batch.schema.get_field_index("embedding"))))
            # Adding 0.0 turns -0.0 into 0.0, which compare equal but differ in their bytes.
            exact = np.round(vectors, decimals) + np.float32(0.0)
            keys = [hashlib.sha256(row.tobytes()).hexdigest() for row in exact]
            yield pa.record_batch([ids, pa.array(keys)], ["image_id", "rounded"])


def _with_similarity(repeats: DataFrame, vectors: DataFrame) -> DataFrame:
    mine = vectors.select("image_id", F.col("embedding").alias("a"))
    theirs = vectors.select(F.col("image_id").alias("canonical_id"), F.col("embedding").alias("b"))
    product = F.aggregate(F.zip_with("a", "b", lambda x, y: x.cast("double") * y), F.lit(0.0), lambda s, v: s + v)

    def norm(name: str) -> Column:
        squares = F.aggregate(name, F.lit(0.0), lambda s, v: s + v.cast("double") * v)
        return F.sqrt(squares)

    joined = F.broadcast(repeats).join(mine, "image_id").join(theirs, "canonical_id")
    similarity = (product / (norm("a") * norm("b"))).alias("similarity")
    return joined.select("image_id", "canonical_id", "tier", similarity)
