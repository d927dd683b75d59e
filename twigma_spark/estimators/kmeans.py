"""k-means in two passes over the table, or four: a weighted summary of rows of each partition, then assignment.

Of a large table, rows drawn by the hash of their id take part in the fit: with m rows a cluster the mean squared
distance is about 1/m above that of fitting all. Each partition is reduced to weighted means of small groups of
like vectors; weighted k-means of all those on the driver, from several seeds, gives the centres. For many clusters
the means would be too few for each: then rows are drawn and fitted on the driver. What comes there is bounded
whatever the table's size. Exact Lloyd rounds over the table, one pass each, can follow; after a fit of drawn rows
two of them do.

The result is the same for a seed and a partitioning, in whatever order the rows of a partition arrive, as
long as what is drawn of a partition fits one block (`BLOCK` bytes of vectors); more is cut into blocks as it
arrives. Another partitioning groups other rows and may end in a slightly different optimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from twigma_spark.errors import ModelError
from twigma_spark.estimators.clustering import DRAWN_ROUNDS, KMeansModel, KMeansSpec, assign_rows
from twigma_spark.estimators.coreset import DRIVER_ROUNDS, centres
from twigma_spark.estimators.lloyd import refine
from twigma_spark.estimators.nearest_centres import Centres
from twigma_spark.estimators.table_summary import Summary, summarise
from twigma_spark.io import arrow

ASSIGNED = "image_id STRING, corpus STRING, cluster INT, distance DOUBLE, reason STRING"

__all__ = [
    "KMeansModel",
    "KMeansSpec",
    "Summary",
    "assign",
    "assign_clusterings",
    "assign_clusters",
    "fit",
    "of_summary",
    "refine",
    "summarise",
]


def fit(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of the vectors; one pass over the table, and one for each round of `spec.rounds`.

    Where there are fewer different vectors than clusters, the spare centres repeat others and stay empty.

    Args:
        vectors: image_id, embedding; what `arrow.checked` refuses takes no part.
        spec: what to fit.

    Raises:
        ModelError: fewer vectors than clusters.
    """
    return refine(vectors, of_summary(summarise(vectors, spec), spec), spec)


def of_summary(summary: Summary, spec: KMeansSpec) -> KMeansModel:
    """Return the centres of a summary's weighted k-means; no pass over the table.

    Raises:
        ModelError: fewer vectors than clusters.
    """
    if summary.rows < spec.k:
        raise ModelError(
            f"k must be at most the number of vectors. Got k={spec.k} and {summary.rows} vectors; "
            "choose fewer clusters or more images."
        )
    rounds = DRAWN_ROUNDS if spec.draws else DRIVER_ROUNDS
    return KMeansModel(centres(summary.points, summary.weights, spec.k, spec.seeds, spec.metric, rounds), spec.metric)


def assign(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster (INT) and distance to the nearest centre of the vectors that can be used.

    The distance is the cosine distance, 0 to 2, or the Euclidean one.

    Args:
        vectors: image_id, corpus, embedding.
        model: from `fit`.
    """
    return assign_clusters(vectors, model).where("reason IS NULL").drop("reason")


def assign_clusters(vectors: DataFrame, model: KMeansModel) -> DataFrame:
    """Return image_id, corpus, cluster, distance and reason; a vector that cannot be used has only a reason."""
    columns = vectors.select("image_id", "corpus", "embedding")
    return columns.mapInArrow(partial(_assign_batches, model=model), ASSIGNED)


def assign_clusterings(vectors: DataFrame, clusterings: Mapping[str, tuple[KMeansModel, Sequence[str]]]) -> DataFrame:
    """Return what `assign_clusters` returns for each of several clusterings, and its name: clustering_id.

    Args:
        vectors: image_id, corpus, embedding; read once.
        clusterings: name, model, and the corpora whose vectors it clusters.
    """
    columns = vectors.select("image_id", "corpus", "embedding")
    assigned = partial(_assign_to_all, clusterings=dict(clusterings))
    return columns.mapInArrow(assigned, f"{ASSIGNED}, clustering_id STRING")


def _assign_batches(batches: Iterable[pa.RecordBatch], model: KMeansModel) -> Iterator[pa.RecordBatch]:
    own = Centres(model.centroids, model.metric)
    for batch in batches:
        if batch.num_rows:
            yield _assign_batch(batch, own)


def _assign_to_all(
    batches: Iterable[pa.RecordBatch], clusterings: Mapping[str, tuple[KMeansModel, Sequence[str]]]
) -> Iterator[pa.RecordBatch]:
    centres = {name: Centres(model.centroids, model.metric) for name, (model, _) in clusterings.items()}
    for batch in batches:
        for name, (_, corpora) in clusterings.items():
            inside = pa.compute.is_in(batch.column(1), pa.array(corpora, pa.string()))
            own = batch if pa.compute.all(inside).as_py() else batch.filter(inside)
            if own.num_rows:
                assigned = _assign_batch(own, centres[name])
                columns = [*assigned.columns, pa.array([name] * own.num_rows, pa.string())]
                yield pa.record_batch(columns, [*assigned.schema.names, "clustering_id"])


def _assign_batch(batch: pa.RecordBatch, centres: Centres) -> pa.RecordBatch:
    checked = arrow.check_vectors(batch.column(2), centres.vectors.shape[1])
    cluster, distance = assign_rows(checked.rows, checked.norms, centres)
    bad = ~checked.usable
    columns = [
        batch.column(0), batch.column(1), pa.array(cluster.astype(np.int32), mask=bad),
        pa.array(distance, mask=bad), pa.array(checked.reasons, pa.string()),
    ]  # fmt: skip
    return pa.record_batch(columns, ["image_id", "corpus", "cluster", "distance", "reason"])
