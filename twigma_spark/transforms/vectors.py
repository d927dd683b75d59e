"""Embeddings as the vector engine takes them: of one model, and usable."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.io.arrow import LARGEST, NOT_A_LENGTH, NOT_FINITE, SMALLEST, ZERO
from twigma_spark.schemas import REJECTS

__all__ = ["IMPORTED", "NOT_A_LENGTH", "NOT_FINITE", "ZERO", "fault", "of_model", "vector_rejects"]

# What is said of the preprocessing of vectors that came with the images: how it was done, nobody knows.
IMPORTED = "imported"


def of_model(embeddings: DataFrame, model_id: str, preprocess_rev: str) -> DataFrame:
    """Return the embeddings (image_id, corpus, embedding) that one model made after one preprocessing.

    Those that the same model made elsewhere are among them: an image that came as a vector has no other.

    Args:
        embeddings: rows of the table `embeddings`.
        model_id: model and revision.
        preprocess_rev: decoder, size and precision.
    """
    return made_by(embeddings, model_id, preprocess_rev, IMPORTED).select("image_id", "corpus", "embedding")


def made_by(rows: DataFrame, model_id: str, *preprocess_revs: str) -> DataFrame:
    """Return the rows that one model made after one of some preprocessings."""
    return rows.where((F.col("model_id") == model_id) & F.col("preprocess_rev").isin(*preprocess_revs))


def fault(vector: Column, dim: int | None = None) -> Column:
    """Return why a vector cannot be used, null where it can; three generated loops, no lambda and no Python.

    ``vector_length``: missing, empty or not of `dim` elements; ``vector_not_finite``: NaN, infinite, null or
    too large to square; ``vector_zero``: no element that differs from 0.

    Args:
        vector: ARRAY<FLOAT>.
        dim: elements that it must have; None takes any length but 0.
    """
    top, bottom = F.array_max(vector), F.array_min(vector)
    # array_contains is null where an element is null and none matches; NaN is the largest float to Spark.
    no_nulls = F.array_contains(vector, F.lit(float("-inf")).cast("float")).isNotNull()
    bounded = no_nulls & (top <= LARGEST) & (bottom >= -LARGEST)
    size = F.coalesce(F.size(vector), F.lit(-1))
    wrong_length = size < 1 if dim is None else size != dim
    return (
        F.when(wrong_length, NOT_A_LENGTH)
        .when(~F.coalesce(bounded, F.lit(False)), NOT_FINITE)
        .when((top < SMALLEST) & (bottom > -SMALLEST), ZERO)
    )


def vector_rejects(judged: DataFrame, stage: str, detail: str) -> DataFrame:
    """Return the vectors with a reason as rows of the table `rejects`.

    Args:
        judged: image_id, corpus, reason (null where the vector can be used).
        stage: stage that refuses them.
        detail: what became of them.
    """
    columns = {"stage": F.lit(stage), "unit": F.lit("vector"), "key": F.col("image_id"), "detail": F.lit(detail)}
    return judged.where("reason IS NOT NULL").withColumns(columns).select(*REJECTS.column_names)
