"""Images that repeat another one of their corpus: same media, same bytes, same embedding, or nearly the same.

Each tier is a set of edges between images. The connected components are the duplicate groups; one image of each, the
canonical one, is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.estimators import components
from twigma_spark.estimators.components import Once, least_members
from twigma_spark.estimators.identical import edges_by_key, edges_by_vector
from twigma_spark.estimators.lookalikes import Likeness, find_lookalikes
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows
from twigma_spark.results import Result
from twigma_spark.vectors import unit_rows

# From strict to loose.
TIERS = ("media", "bytes", "embedding", "near")
KEYS = {"media": "media_key", "bytes": "sha256"}
# What an edge and its images take on the driver, as Arrow, pandas and SciPy hold them at the same time.
EDGE_BYTES = 600


@dataclass(frozen=True)
class DuplicateRule:
    """What makes two images of a corpus one.

    Attributes:
        tolerance: length of the difference of two unit vectors up to which an embedding is identical.
        near: what makes two images near; None leaves the tier out.
        driver_bytes: memory for the edges on the driver; where they need more, Spark finds the groups.
    """

    tolerance: float
    near: Likeness | None = None
    driver_bytes: float = 2e9


@dataclass(frozen=True)
class FoundDuplicates:
    """What was found.

    Attributes:
        duplicates: image_id, canonical_id, tier, similarity.
        near: the candidates of the tier near, as `find_lookalikes` returns them; of each strict group one image is
            compared, also with those of other corpora.
        results: the thresholds of the tier near, and what they rest on.
    """

    duplicates: DataFrame
    near: DataFrame
    results: list[Result]


def find_duplicates(
    images: DataFrame, vectors: DataFrame, hashes: DataFrame, rule: DuplicateRule, once: Once
) -> FoundDuplicates:
    """Return the images that repeat another, and the candidates as `find_lookalikes` returns them.

    Only images that have a vector take part, so that a survivor can be used and a reject is not counted
    as a duplicate as well. Of a group survives the earliest (unknown times last), then the largest, then the
    least id. The tier is the strictest at which a better image is in reach: through equal media alone, then
    through media and bytes, and so on.

    Args:
        images: image_id, corpus, media_key, sha256, created_at, width, height.
        vectors: image_id, corpus, embedding; usable vectors of one length.
        hashes: image_id, vector, windows; an image without a row is near to none.
        rule: what makes two images one.
        once: computes a frame one time and returns what was computed.
    """
    usable = images.join(vectors.select("image_id"), "image_id", "left_semi")
    tiers = {name: edges_by_key(usable, key) for name, key in KEYS.items()}
    tiers["embedding"] = edges_by_vector(vectors, rule.tolerance, once)
    strict = once(_union_tiers(tiers))
    others = vectors.join(strict.select(F.col("a").alias("image_id")), "image_id", "left_anti")
    near = find_lookalikes(hashes, others, rule.near, once)
    edges = strict.union(_union_tiers({"near": near.pairs.where("near AND NOT across")}))
    facts = usable.select(
        "image_id", F.unix_micros("created_at").alias("created_at"),
        (F.col("width").cast("long") * F.col("height")).alias("pixels"),
    )  # fmt: skip
    pairs = _survivors(facts, edges, rule.driver_bytes, once)
    return FoundDuplicates(_with_similarity(pairs, vectors), near.pairs, near.results)


def survivors(images: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """Return image_id, canonical_id and tier (str) of the images that are not the survivor of their group.

    Args:
        images: image_id, created_at (sortable, may be missing), pixels; one row an image.
        edges: a, b, tier; images that are joined.
    """
    best_first = images.sort_values(
        ["created_at", "pixels", "image_id"], ascending=[True, False, True], na_position="last"
    ).reset_index(drop=True)
    ids = best_first["image_id"].to_numpy(object)
    rows = pd.Index(ids)
    place = np.arange(len(ids))
    tier = np.full(len(ids), None, object)
    joined, survivor = np.empty((0, 2), np.int64), place
    for name in TIERS:
        own = edges[edges["tier"] == name]
        ends = np.column_stack([rows.get_indexer(pd.Index(own[end])) for end in "ab"]).astype(np.int64)
        joined = np.concatenate([joined, ends])
        survivor = least_members(joined, len(ids))
        tier[(survivor < place) & pd.isna(tier)] = name
    lost = survivor < place
    return pd.DataFrame({"image_id": ids[lost], "canonical_id": ids[survivor[lost]], "tier": tier[lost]}, dtype=object)


def survivors_on_spark(facts: DataFrame, edges: DataFrame, once: Once) -> DataFrame:
    """Return what `survivors` returns where the edges do not fit the driver."""
    order = [F.asc_nulls_last("created_at"), F.desc_nulls_last("pixels"), F.asc("image_id")]
    repeated = None
    for place, name in enumerate(TIERS):
        groups = components.on_spark(edges.where(F.col("tier").isin(list(TIERS[: place + 1]))), once)
        best = F.first("image_id").over(Window.partitionBy("group").orderBy(*order))
        members = facts.join(groups.withColumnRenamed("node", "image_id"), "image_id")
        lost = members.withColumn("canonical_id", best).where("image_id <> canonical_id")
        lost = lost.select("image_id", "canonical_id", F.lit(name).alias("tier"))
        if repeated is not None:
            before = repeated.select("image_id", F.col("tier").alias("before"))
            lost = lost.join(before, "image_id", "left").withColumn("tier", F.coalesce("before", "tier")).drop("before")
        repeated = once(lost)
    return repeated if repeated is not None else facts.limit(0)


def _survivors(facts: DataFrame, edges: DataFrame, driver_bytes: float, once: Once) -> DataFrame:
    """Return image_id, canonical_id and tier, found where the edges fit."""
    if count_rows(edges) * EDGE_BYTES > driver_bytes:
        return survivors_on_spark(facts, edges, once)
    named = edges.select(F.col("a").alias("image_id")).union(edges.select("b")).distinct()
    known = arrow.collect(facts.join(named, "image_id", "left_semi")).to_pandas()
    repeated = survivors(known, arrow.collect(edges).to_pandas())
    batch = pa.RecordBatch.from_pandas(repeated, pa.schema([(name, pa.string()) for name in repeated.columns]))
    return arrow.frame_of(facts.sparkSession, [batch], "image_id STRING, canonical_id STRING, tier STRING")


def _union_tiers(tiers: dict[str, DataFrame]) -> DataFrame:
    """Return a, b, tier of the edges of several tiers."""
    first, *rest = [edges.select("a", "b", F.lit(name).alias("tier")) for name, edges in tiers.items()]
    for edges in rest:
        first = first.union(edges)
    return first


def _with_similarity(pairs: DataFrame, vectors: DataFrame) -> DataFrame:
    """Return the pairs with the cosine of their embeddings; one pass, only vectors of pairs leave their partition."""
    own = pairs.select("image_id", "canonical_id", "tier")
    ends = own.union(own.select("canonical_id", "canonical_id", F.lit(None)).distinct())
    groups = vectors.select("image_id", "embedding").join(F.broadcast(ends), "image_id")
    # Nulls are first: the canonical image comes before those that repeat it.
    in_order = groups.repartition("canonical_id").sortWithinPartitions("canonical_id", "tier")
    schema = "image_id STRING, canonical_id STRING, tier STRING, similarity DOUBLE"
    return in_order.select("image_id", "canonical_id", "tier", "embedding").mapInArrow(_similar, schema)


def _similar(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the cosine of each embedding and that of its canonical image, whose tier is null and which is before it."""
    last, leader = None, np.empty((0, 0), np.float32)
    for batch in batches:
        if not batch.num_rows:
            continue
        own, group = unit_rows(arrow.matrix(batch.column(3))), batch.column(1).to_numpy(zero_copy_only=False)
        leads = batch.column(2).is_null().to_numpy(zero_copy_only=False)
        # Row 0 is the canonical image that the batch before ended with.
        rows = np.concatenate([leader if last else np.zeros_like(own[:1]), own])
        names = np.concatenate([np.array([last], object), group])
        place = np.maximum.accumulate(np.where(leads, np.arange(1, len(rows)), 0))
        known = np.flatnonzero(~leads & (names[place] == group))
        cosine = np.einsum("ij,ij->i", own[known], rows[place[known]], dtype=np.float64).clip(-1.0, 1.0)
        columns = [column.take(pa.array(known)) for column in batch.columns[:3]]
        yield pa.record_batch([*columns, pa.array(cosine)], ["image_id", "canonical_id", "tier", "similarity"])
        last, leader = names[place[-1]], rows[place[-1]][None]
