"""Pairs and vectors on the driver: pairs as a few numbers each, vectors in memory-mapped files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.pair_table import PairTable
from twigma_spark.estimators.vector_file import NOWHERE, VectorFile, look_up, write_vectors
from twigma_spark.io import arrow


@dataclass(frozen=True)
class RewardData:
    """What a reward model is trained and tested on.

    Attributes:
        images: vectors of the images.
        texts: vectors of the prompts.
        table: the pairs both of whose images and whose prompt have a vector.
        columns: further columns of those pairs: preferred_id and other_id (hashes), likes and band of both sides, days.
        missing: pairs without a vector.
    """

    images: VectorFile
    texts: VectorFile
    table: PairTable
    columns: Mapping[str, NDArray[Any]]
    missing: int

    def lack(self, fewest: int, folds: int) -> str | None:
        """Return why no model can be trained, with the way out, or None where it can.

        Args:
            fewest: matched pairs that are needed.
            folds: parts that the prompts are in.
        """
        matched, authors = int(self.table.matched.sum()), len(np.unique(self.table.authors))
        if matched < fewest:
            return (
                f"{fewest} matched pairs at least are needed (reward.fewest). Got {matched:,} of {len(self.table):,} "
                "pairs; they need likes, prompts, followers and dates, or a wider pairs.match"
            )
        return None if authors >= folds else f"authors must be as many as reward.folds at least. Got {authors}"


def collect(
    pairs: DataFrame, numbers: DataFrame, image_vectors: DataFrame, text_vectors: DataFrame, folder: Path
) -> RewardData:
    """Return the pairs with the vectors that they need.

    Args:
        pairs: rows of the table `pairs`.
        numbers: the same as `transforms.pair_columns.pair_numbers`.
        image_vectors: image_id, embedding.
        text_vectors: text_id, embedding.
        folder: of the files of vectors; temporary, on the driver's own disk.
    """
    sides = [pairs.select(F.col(f"{side}_image_id").alias("image_id")) for side in ("preferred", "other")]
    ids = sides[0].unionByName(sides[1]).distinct()
    images = image_vectors.join(ids, "image_id", "left_semi").select(F.xxhash64("image_id"), "embedding")
    wanted = pairs.select("text_id").distinct()
    texts = text_vectors.join(wanted, "text_id", "left_semi").select(F.xxhash64("text_id"), "embedding")
    image_file = write_vectors(arrow.stream(images), folder / "images.f16")
    text_file = write_vectors(arrow.stream(texts), folder / "texts.f16")
    return _build(arrow.table(numbers), image_file, text_file)


def _build(found: pa.Table, images: VectorFile, texts: VectorFile) -> RewardData:
    # In an order of their own, whatever the partitioning: batches are drawn from it.
    found = found.sort_by([(name, "ascending") for name in ("prompt", "preferred_id", "other_id")])
    column = {name: found.column(name).to_numpy() for name in found.column_names}
    rows = {
        "text": texts.rows(column["text"]),
        "preferred": images.rows(column["preferred_id"]),
        "other": images.rows(column["other_id"]),
    }
    there = np.ones(found.num_rows, bool)
    for places in rows.values():
        there &= places != NOWHERE
    kept = {name: values[there] for name, values in column.items()}
    table = PairTable(
        rows["text"][there],
        np.stack([rows["preferred"][there], rows["other"][there]], axis=1),
        kept["prompt"],
        kept["fold"].astype(np.int64),
        np.stack([kept["preferred_author"], kept["other_author"]], axis=1),
        kept["cluster"].astype(np.int64),
        kept["matched"].astype(bool),
        kept["nsfw"].astype(bool),
        _engagement(kept),
    )
    names = ("preferred_id", "other_id", "preferred_likes", "other_likes", "preferred_band", "other_band", "days")
    return RewardData(images, texts, table, {name: kept[name] for name in names}, int((~there).sum()))


def _engagement(column: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return log followers and the hour of the day (as cosine and sine) of the preferred post less the other's."""

    def of(side: str) -> NDArray[np.float64]:
        turn = column[f"{side}_hour"].astype(np.float64) * (2 * np.pi / 24)
        return np.stack([column[f"{side}_followers"].astype(np.float64), np.cos(turn), np.sin(turn)], axis=1)

    return of("preferred") - of("other")


def baseline_scores(
    rows: DataFrame, kinds: Sequence[str], preferred: NDArray[np.int64], other: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Return, for each published model, its scores (n, 2) of the preferred and the other image; NaN where it has none.

    Args:
        rows: from `transforms.pair_columns.prompted_scores`.
        kinds: names of the models.
        preferred: hashes of the image ids (n,).
        other: likewise.
    """
    table = arrow.table(rows)
    wanted = _pair_keys(preferred, other)
    scores = {}
    for kind in kinds:
        own = table.filter(pa.compute.equal(table.column("kind"), kind))
        column = {name: own.column(name).to_numpy() for name in own.column_names if name != "kind"}
        keys = _pair_keys(column["preferred_id"], column["other_id"])
        order = np.argsort(keys)
        sides = [look_up(keys[order], column[side][order], wanted, np.nan) for side in ("preferred", "other")]
        scores[kind] = np.stack(sides, axis=1)
    return scores


def _pair_keys(preferred: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a 64-bit key of each pair of hashes, which depends on their order."""
    return (preferred.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ other.astype(np.uint64)).view(np.int64)


def image_scores(
    scores: DataFrame, kinds: Sequence[str], preferred: NDArray[np.int64], other: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Return, for each kind of score, those (n, 2) of the preferred and the other image; NaN where one has none.

    Args:
        scores: rows of the table `scores`; the highest of several scorers of a kind counts.
        kinds: names of scores.
        preferred: hashes of the image ids (n,).
        other: likewise.
    """
    highest = scores.where(F.col("kind").isin(list(kinds))).groupBy("kind", "image_id").agg(F.max("score"))
    table = arrow.table(highest.toDF("kind", "image_id", "score").select("kind", F.xxhash64("image_id"), "score"))
    both = {}
    for kind in kinds:
        own = table.filter(pa.compute.equal(table.column(0), kind))
        keys, values = own.column(1).to_numpy(), own.column(2).to_numpy()
        order = np.argsort(keys)
        sides = [look_up(keys[order], values[order], ids, np.nan) for ids in (preferred, other)]
        both[kind] = np.stack(sides, axis=1)
    return both
