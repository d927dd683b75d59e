"""Measured recall of an approximate search: exact neighbours of a sample of queries, nprobe raised until it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.errors import ModelError
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.faiss_index import ShardFile
from twigma_spark.estimators.neighbour_search import DECIMALS, SCHEMA, answers, best_of
from twigma_spark.estimators.products import inner_products
from twigma_spark.io import arrow
from twigma_spark.results import Value
from twigma_spark.stats.intervals import wilson
from twigma_spark.vectors import unit_rows

MOST_LISTS = 65_536
# Candidates of a batch, in multiples of k, of which equals are put in order.
TIES = 4


def tune_nprobe(
    shards: Sequence[ShardFile], sample: DataFrame, references: DataFrame, k: int, least: float
) -> dict[int, Value]:
    """Return recall by nprobe, in order: that of the shards, twice as many, and so on until it is at least `least`.

    Recall is the fraction of the true neighbours that were found, with Wilson's 95% interval. The unit is a query
    and not a neighbour, since the neighbours of one query are found or missed together; the interval is at least
    as wide as it has to be, for a fraction per query varies less than a yes or no.

    Args:
        shards: files of the index, with the first nprobe.
        sample: image_id, embedding of some queries; few enough for the driver.
        references: image_id, embedding of all references; searched exactly in one pass.
        k: neighbours that count.
        least: recall that must be reached.

    Raises:
        ModelError: with the whole curve, where searching all lists does not reach it.
    """
    queries = arrow.collect(sample.select("image_id", "embedding"))
    true = _pairs(exact(queries, references, k).toPandas())
    curve: dict[int, Value] = {}
    nprobe = shards[0].nprobe
    while true:
        indexes = [replace(shard, nprobe=nprobe).load() for shard in shards]
        neighbours = [b.to_pandas() for b in answers(queries.to_batches(), indexes, k, 4096)]
        curve[nprobe] = _recall(true, set().union(*(_pairs(part) for part in neighbours)), k)
        if (curve[nprobe].estimate or 0.0) >= least:
            break
        if nprobe >= MOST_LISTS or (len(curve) > 1 and all(nprobe >= lists(i.vectors) for i in indexes)):
            raise ModelError(_shortfall_message(curve, k, least))
        nprobe *= 2
    return curve


def lists(index: Any) -> int:
    """Return the inverted lists of a FAISS index; 1 of one without."""
    inverted = faiss.try_extract_index_ivf(index)
    return 1 if inverted is None else int(inverted.nlist)


def exact(queries: pa.Table, references: DataFrame, k: int) -> DataFrame:
    """Return the true k neighbours of a few queries (as `neighbour_search.search`), in one pass over the references.

    Every partition keeps its own k best of each query, so that memory does not grow with the references.
    """
    ids = queries.column("image_id").to_pylist()
    unit = unit_rows(arrow.matrix(queries.column("embedding").combine_chunks()))
    columns = "image_id STRING, neighbour_id STRING, similarity DOUBLE"
    nearest = references.select("image_id", "embedding").mapInArrow(partial(_best, ids=ids, queries=unit, k=k), columns)
    order = Window.partitionBy("image_id").orderBy(F.desc("similarity"), "neighbour_id")
    ranked = nearest.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= k)
    return ranked.select(*[part.split()[0] for part in SCHEMA.split(", ")])


def _best(
    batches: Iterable[pa.RecordBatch], ids: list[str], queries: NDArray[np.float32], k: int
) -> Iterator[pa.RecordBatch]:
    cosines = np.empty((len(queries), 0))
    names = np.empty((len(queries), 0), object)
    for batch in batches:
        if batch.num_rows:
            rough = inner_products(queries, unit_rows(arrow.matrix(batch.column(1))))
            close = np.round(rough.astype(np.float64), DECIMALS)
            first = np.argpartition(-close, min(TIES * k, close.shape[1]) - 1, axis=1)[:, : TIES * k]
            own = batch.column(0).to_numpy(zero_copy_only=False)[first]
            cosines = np.concatenate([cosines, np.take_along_axis(close, first, axis=1)], axis=1)
            names, cosines = best_of(np.concatenate([names, own], axis=1), cosines, k)
    if cosines.shape[1]:
        repeated = np.repeat(np.array(ids, object), cosines.shape[1])
        columns = [pa.array(repeated, pa.string()), pa.array(names.ravel(), pa.string()), pa.array(cosines.ravel())]
        yield pa.record_batch(columns, ["image_id", "neighbour_id", "similarity"])


def _pairs(rows: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(rows["image_id"], rows["neighbour_id"], strict=True))


def _recall(true: set[tuple[str, str]], neighbours: set[tuple[str, str]], k: int) -> Value:
    queries = len({query for query, _ in true})
    share = len(true & neighbours) / len(true)
    _, low, high = wilson(share * queries, queries)
    method = f"{k} nearest against exact search on a sample of queries; Wilson, 95%, a query as the unit (conservative)"
    return Value(share, float(low), float(high), queries, "queries", method)


def _shortfall_message(curve: Mapping[int, Value], k: int, least: float) -> str:
    tried = ", ".join(f"nprobe {nprobe}: {value.estimate:.3f}" for nprobe, value in curve.items())
    return (
        f"recall@{k} must be at least {least} (neighbours.search.min_recall). Got {tried}; "
        "take an index with longer codes or more memory (neighbours.index), or ask for less."
    )
