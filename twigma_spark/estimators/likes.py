"""A boosted model of likes, SynapseML's LightGBM: held-out predictions and SHAP values, where its jar is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from twigma_spark.io.spark_versions import has_synapseml

# The package on Maven Central that brings the JVM side; `synapseml` from PyPI has only the Python side.
PACKAGE = "com.microsoft.azure:synapseml-lightgbm_2.12:1.1.3"


@dataclass(frozen=True)
class BoostingSpec:
    """How the trees are grown.

    Attributes:
        iterations: trees.
        leaves: leaves of a tree.
        learning_rate: how much of each tree is taken.
        smallest_leaf: images of a leaf at least.
        seed: of all that is random.
    """

    iterations: int
    leaves: int
    learning_rate: float
    smallest_leaf: int
    seed: int


def unavailable(spark_version: str) -> str | None:
    """Return why the model cannot be fitted here, with the way out, or None where it can."""
    if not has_synapseml(spark_version):
        return f"SynapseML is built for Spark 3.5, and this is Spark {spark_version}"
    if is_remote():
        return "SynapseML does not run under Spark Connect; run the stage on a cluster that is not shared"
    try:
        from synapse.ml.lightgbm import LightGBMRegressor

        LightGBMRegressor()
    except ImportError:
        return "the Python package synapseml is not installed; install twigma_spark[synapseml]"
    except TypeError:  # a class of the JVM that is not there is a package, which cannot be called
        return f"the session has no SynapseML jar; add {PACKAGE} to spark.conf's spark.jars.packages"
    return None


def predict_boosted(rows: DataFrame, features: Sequence[str], held_out: str, spec: BoostingSpec) -> DataFrame:
    """Return the held-out rows with `prediction` (mean likes) and `shap` (of each feature, then the base).

    A Poisson objective, so the SHAP values (TreeSHAP, Lundberg et al. 2020) add up to the log of the
    prediction. Missing values go their own way at each split.

    Args:
        rows: likes, the features as numbers or null, and the column `held_out`.
        features: names of columns.
        held_out: name of a boolean column; rows where it is true are not fitted to.
        spec: how the trees are grown.
    """
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.functions import vector_to_array

    numbers = [F.coalesce(F.col(name).cast("double"), F.lit(float("nan"))).alias(name) for name in features]
    plain = rows.select(*[c for c in rows.columns if c not in features], *numbers)
    assembler = VectorAssembler(inputCols=list(features), outputCol="features", handleInvalid="keep")
    ready = assembler.transform(plain.withColumn("label", F.col("likes").cast("double")))
    model = _regressor(spec).fit(ready.where(~F.col(held_out)))
    predicted: DataFrame = model.transform(ready.where(held_out))
    return predicted.withColumn("shap", vector_to_array(F.col("shap"))).drop("features", "label")


def _regressor(spec: BoostingSpec) -> Any:
    from synapse.ml.lightgbm import LightGBMRegressor

    return LightGBMRegressor(
        objective="poisson",
        labelCol="label",
        featuresCol="features",
        predictionCol="prediction",
        featuresShapCol="shap",
        numIterations=spec.iterations,
        numLeaves=spec.leaves,
        learningRate=spec.learning_rate,
        minDataInLeaf=spec.smallest_leaf,
        seed=spec.seed,
        deterministic=True,
        verbosity=-1,
    )
