"""How many of the duplicates that were planted in a sample world were found, by tier and threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.components import least_members
from twigma_spark.estimators.duplicates import TIERS
from twigma_spark.results import Result, Value
from twigma_spark.sample.truth import Truth, load_truth
from twigma_spark.stats.intervals import wilson

SIMILARITIES = (0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999)
BITS = (8, 16, 24, 32, 40, 48, 64, 96, 256)
METHOD = "against what was planted in the sample world; Wilson, 95%, pairs as the units"
Edges = NDArray[np.int64]


def planted_results(world: str, images: DataFrame, duplicates: DataFrame, near: DataFrame) -> list[Result]:
    """Return precision and recall by tier, and of the tier near over a grid of thresholds.

    Precision is of pairs: an image and its survivor, or two near images, that stem from one picture. Recall
    is of planted copies: those that are joined to the picture they were made of. A world without truth has none.

    Args:
        world: folder of the sample world.
        images: image_id, corpus, source_key.
        duplicates: rows of the table.
        near: a, b, similarity, bits of the pairs that were looked at.
    """
    path = Path(world) / "truth.json"
    if not path.exists():
        return []
    known = images.select("image_id", F.concat_ws("/", "corpus", "source_key").alias("key")).toPandas()
    place = {key: row for row, key in enumerate(known["key"])}
    made = _planted(load_truth(path), place)
    ids = pd.Index(known["image_id"])
    found = duplicates.select("image_id", "canonical_id", "tier").toPandas()
    own = _edges(ids, found[["image_id", "canonical_id"]])
    pairs = near.select("a", "b", "similarity", "bits").toPandas()
    return [
        *_of_tiers(made, own, found["tier"].to_numpy(object), len(ids)),
        *_of_thresholds(made, own[found["tier"] != "near"], _edges(ids, pairs[["a", "b"]]), pairs, len(ids)),
    ]


def _planted(truth: Truth, place: dict[str, int]) -> dict[str, Edges]:
    """Return the pairs of rows that were planted, by tier; what was not taken in has no row."""
    media = _chains((f"posts/{key}" for key in entry.source_keys) for entry in truth.shared_media)
    same = _chains((f"{entry.corpus}/{key}" for key in entry.source_keys) for entry in truth.byte_duplicates)
    near = [(f"{e.corpus}/{e.source_key}", f"{e.corpus}/{e.of}") for e in truth.near_duplicates]
    named = {"media": list(media), "bytes": list(same), "near": near}
    return {
        tier: np.array([(place[a], place[b]) for a, b in pairs if a in place and b in place], np.int64).reshape(-1, 2)
        for tier, pairs in named.items()
    }


def _chains(groups: Iterable[Iterable[str]]) -> Iterator[tuple[str, str]]:
    for group in groups:
        yield from pairwise(group)


def _edges(ids: pd.Index, ends: pd.DataFrame) -> Edges:
    """Return pairs of rows from the pairs of ids in two columns."""
    return np.column_stack([ids.get_indexer(pd.Index(ends[name])) for name in ends.columns]).astype(np.int64)


def _of_tiers(made: dict[str, Edges], found: Edges, tier: NDArray[np.object_], n: int) -> Iterator[Result]:
    root, joined = least_members(np.concatenate(list(made.values())), n), least_members(found, n)
    for name in TIERS:
        yield from _share("precision", {"tier": name}, _same(root, found[tier == name]), "duplicates")
        yield from _share("recall", {"tier": name}, _same(joined, made.get(name, found[:0])), "planted copies")


def _of_thresholds(made: dict[str, Edges], strict: Edges, pairs: Edges, how: pd.DataFrame, n: int) -> Iterator[Result]:
    """Yield both shares of the near tier; what a strict tier has joined stays joined at every threshold."""
    root = least_members(np.concatenate(list(made.values())), n)
    similarity, bits = how["similarity"].to_numpy(np.float64), how["bits"].to_numpy(np.float64)
    for least in SIMILARITIES:
        for most in BITS:
            taken = pairs[(similarity >= least) & ~(bits > most)]
            joined = least_members(np.concatenate([strict, taken]), n)
            labels = {"tier": "near", "similarity": f"{least:.3f}", "bits": str(most)}
            yield from _share("precision", labels, _same(root, taken), "pairs")
            yield from _share("recall", labels, _same(joined, made["near"]), "planted copies")


def _same(label: NDArray[np.int64], pairs: Edges) -> NDArray[np.bool_]:
    return np.asarray(label[pairs[:, 0]] == label[pairs[:, 1]], bool)


def _share(metric: str, labels: Mapping[str, str], hits: NDArray[np.bool_], unit: str) -> Iterator[Result]:
    if len(hits):
        share, low, high = (float(x) for x in wilson(hits.sum(), len(hits)))
        yield Result("duplicates", metric, labels, Value(share, low, high, len(hits), unit, METHOD))
