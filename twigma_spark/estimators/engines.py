"""Who fits k-means: this package, Spark ML for checking, or spark-rapids-ml on clusters with GPUs.

An engine is a function of vectors and a spec that returns a `KMeansModel`; whoever fitted it, the assignment
is ours, so that clusters and distances mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module

import numpy as np
import pyarrow as pa
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from twigma_spark.errors import ModelError
from twigma_spark.estimators import kmeans
from twigma_spark.estimators.coreset import Metric
from twigma_spark.estimators.kmeans import KMeansModel, KMeansSpec
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

Engine = Callable[[DataFrame, KMeansSpec], KMeansModel]
# Rounds of the engines that make a pass a round; Spark ML's own default.
ROUNDS = 20


def spark_ml(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres that Spark ML finds (k-means||, then Lloyd; one pass a round).

    Raises:
        ModelError: under Spark Connect, where 3.5 and Databricks' serverless compute have no Spark ML.
    """
    if is_remote():
        raise ModelError("cluster.engine must be native under Spark Connect. Got 'spark-ml'; take the other engine.")
    usable = _usable(vectors, spec.metric)
    features = usable.select(array_to_vector(F.col("embedding")).alias("features"))
    estimator = KMeans(k=spec.k, seed=spec.seed, distanceMeasure=spec.metric, maxIter=ROUNDS, tol=spec.tol)
    return _model(estimator.fit(features).clusterCenters(), spec)


def rapids(vectors: DataFrame, spec: KMeansSpec) -> KMeansModel:
    """Return the centres that spark-rapids-ml finds on the cluster's GPUs.

    It knows the Euclidean metric only; on unit vectors that is the order of the cosine.

    Raises:
        ModelError: where spark-rapids-ml is not installed.
    """
    try:
        module = import_module("spark_rapids_ml.clustering")
    except ImportError as error:
        raise ModelError(
            "cluster.engine must be native or spark-ml where spark-rapids-ml is not installed. Got 'rapids'; "
            "install spark-rapids-ml on the driver and the workers, or take another engine."
        ) from error
    estimator = module.KMeans(k=spec.k, seed=spec.seed, maxIter=ROUNDS, tol=spec.tol)
    estimator = estimator.setFeaturesCol("embedding")
    return _model(estimator.fit(_usable(vectors, spec.metric)).clusterCenters(), spec)


ENGINES: Mapping[str, Engine] = {"native": kmeans.fit, "spark-ml": spark_ml, "rapids": rapids}


def _usable(vectors: DataFrame, metric: Metric) -> DataFrame:
    """Return the embeddings that can be used, of unit length under the cosine."""
    return vectors.select("embedding").mapInArrow(partial(_ready, metric=metric), "embedding ARRAY<FLOAT>")


def _ready(batches: Iterable[pa.RecordBatch], metric: Metric) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        checked = arrow.check_vectors(batch.column(0))
        rows = checked.rows[checked.usable]
        if len(rows):
            yield pa.record_batch([arrow.lists(unit_rows(rows) if metric == "cosine" else rows)], ["embedding"])


def _model(models: Iterable[object], spec: KMeansSpec) -> KMeansModel:
    """Return the model of an engine's centres; one that finds fewer than k has its last centres repeated."""
    rows = np.asarray(list(models), np.float32)
    rows = rows[np.minimum(np.arange(spec.k), len(rows) - 1)]
    return KMeansModel(unit_rows(rows) if spec.metric == "cosine" else rows, spec.metric)
