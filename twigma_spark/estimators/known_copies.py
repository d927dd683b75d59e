"""How many of the copies that people know of were found, by tier and threshold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.estimators.components import least_members
from twigma_spark.estimators.duplicates import TIERS
from twigma_spark.io import known_copies
from twigma_spark.io.known_copies import KnownCopy
from twigma_spark.results import Result
from twigma_spark.stats.intervals import wilson_value

CANDIDATES = ("pixels", "embeddings", "both")
BITS = (8, 16, 24, 32, 40, 48, 64, 96, 256)
METHOD = "against the known copies; Wilson, 95%, pairs as the units"
Edges = NDArray[np.int64]


def known_copy_results(
    known: Collection[KnownCopy], images: DataFrame, duplicates: DataFrame, near: DataFrame
) -> list[Result]:
    """Return precision and recall by tier, and of the tier near by candidates and bits.

    Precision is of pairs: an image and its survivor, or two near images, that the known copies connect; it holds
    where all copies are known. Recall is of known copies: those that are connected to what they repeat. Images that
    were not taken in do not count. Copies that are known are labelled by people: the images are read to the driver.

    Args:
        known: copies; none give no results.
        images: image_id, corpus, source_key.
        duplicates: rows of the table.
        near: a, b, across, similarity, pixels, bits of the candidates.
    """
    if not known:
        return []
    rows = images.select("image_id", "corpus", "source_key").toPandas()
    ids = pd.Index(rows["image_id"])
    labelled = _known_edges(known, pd.MultiIndex.from_frame(rows[["corpus", "source_key"]]))
    repeats = duplicates.select("image_id", "canonical_id", "tier").toPandas()
    tiers, own = repeats["tier"].to_numpy(object), _edges(ids, repeats[["image_id", "canonical_id"]])
    pairs = near.where("NOT across").select("a", "b", "similarity", "pixels", "bits").toPandas()
    return [
        *_by_tier(labelled, own, tiers, len(ids)),
        *_by_threshold(labelled, own[tiers != "near"], _edges(ids, pairs[["a", "b"]]), pairs, len(ids)),
    ]


def _known_edges(known: Iterable[KnownCopy], keys: pd.MultiIndex) -> dict[str, Edges]:
    """Return the pairs of rows that are known, by tier; what was not taken in has no row."""
    rows = list(known)
    ends = np.column_stack(
        [
            keys.get_indexer(pd.MultiIndex.from_tuples([(r.corpus, r.source_key) for r in rows])),
            keys.get_indexer(pd.MultiIndex.from_tuples([(r.corpus, r.copy_of) for r in rows])),
        ]
    ).astype(np.int64)
    tier, inside = np.array([r.tier for r in rows], object), (ends >= 0).all(axis=1)
    return {name: ends[inside & (tier == name)] for name in known_copies.TIERS}


def _edges(ids: pd.Index, ends: pd.DataFrame) -> Edges:
    """Return pairs of rows from the pairs of ids in two columns."""
    return np.column_stack([ids.get_indexer(pd.Index(ends[name])) for name in ends.columns]).astype(np.int64)


def _by_tier(known: dict[str, Edges], own: Edges, tier: NDArray[np.object_], n: int) -> Iterator[Result]:
    root, joined = least_members(np.concatenate(list(known.values())), n), least_members(own, n)
    for name in TIERS:
        yield from _share("precision", {"tier": name}, _same(root, own[tier == name]), "duplicates")
        yield from _share("recall", {"tier": name}, _same(joined, known.get(name, own[:0])), "known copies")


def _by_threshold(
    known: dict[str, Edges], strict: Edges, pairs: Edges, candidates: pd.DataFrame, n: int
) -> Iterator[Result]:
    """Yield both shares of the near tier; what a strict tier has joined stays joined at every threshold."""
    root = least_members(np.concatenate(list(known.values())), n)
    by_pixels, by_embeddings = candidates["pixels"].notna().to_numpy(), candidates["similarity"].notna().to_numpy()
    chosen = dict(zip(CANDIDATES, (by_pixels, by_embeddings, by_pixels | by_embeddings), strict=True))
    bits = candidates["bits"].to_numpy(np.int64)
    for name, rows in chosen.items():
        for most in BITS:
            close = pairs[rows & (bits <= most)]
            joined = least_members(np.concatenate([strict, close]), n)
            labels = {"tier": "near", "candidates": name, "bits": str(most)}
            yield from _share("precision", labels, _same(root, close), "pairs")
            yield from _share("recall", labels, _same(joined, known["near"]), "known copies")


def _same(label: NDArray[np.int64], pairs: Edges) -> NDArray[np.bool_]:
    return np.asarray(label[pairs[:, 0]] == label[pairs[:, 1]], bool)


def _share(metric: str, labels: Mapping[str, str], hits: NDArray[np.bool_], unit: str) -> Iterator[Result]:
    if len(hits):
        yield Result("duplicates", metric, labels, wilson_value(int(hits.sum()), len(hits), unit, METHOD))
