"""Models over columns: an iterator pandas UDF that gives one value or one error for each row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from twigma_spark.errors import ModelError
from twigma_spark.models import cache
from twigma_spark.models.base import Model
from twigma_spark.models.device import cuda_count, pick_device
from twigma_spark.models.runner import run_batches


@dataclass(frozen=True)
class Feed:
    """How a model is fed; changes the speed, never a value.

    Attributes:
        batch_size: rows of one forward pass; Arrow's own batches are of another size.
        decode_threads: threads that prepare the next rows meanwhile.
        threads: CPU threads of the forward pass; None leaves them as they are.
        device: "cpu", or "cuda" for the GPU that Spark gives to the task.
    """

    batch_size: int = 32
    decode_threads: int = 1
    threads: int | None = None
    device: str = "cpu"


def infer(
    frame: DataFrame, column: str, model: Model, value_type: str, feed: Feed, also: Sequence[str] = ()
) -> DataFrame:
    """Return `frame` without `column`, and with `value` (of `value_type`) and `error` ("reason: detail").

    Exactly one of the two is null. The result must be computed once (`Work.once`) before two tables are
    made of it: a filter on a UDF's column would run the model again.

    Args:
        frame: has `column` with the model's items; a partition is a task.
        column: bytes of images, or texts.
        model: a spec; a worker process loads its weights once.
        value_type: Spark SQL type, such as ``array<float>``.
        feed: sizes and threads.
        also: further columns that an item is of, such as the prompt of an image; an item is then a tuple of the values.
            They are left out of the result too.
    """
    columns = (column, *also)

    def run(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        loaded = cache.load(model, task_device(feed.device), feed.threads)
        # Spark gives a series of one column, and a tuple of those of several.
        items = (list(zip(*batch, strict=True)) if also else batch.tolist() for batch in batches)
        for result in run_batches(items, loaded, batch_size=feed.batch_size, decode_threads=feed.decode_threads):
            yield pd.DataFrame({"value": pd.Series(result.values, dtype=object), "error": result.errors})

    ask = pandas_udf(run, f"struct<value: {value_type}, error: string>").asNondeterministic()  # type: ignore[call-overload]
    others = [name for name in frame.columns if name not in columns]
    answers = F.col("answer.value").alias("value"), F.col("answer.error").alias("error")
    return frame.withColumn("answer", ask(*columns)).select(*others, *answers)


def failures(answered: DataFrame, unit: str = "image") -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for the rows that have an error.

    Args:
        answered: from `infer`, with corpus and source_key.
        unit: what a row is.
    """
    return answered.where("error IS NOT NULL").select(
        F.lit(unit).alias("unit"),
        "corpus",
        F.col("source_key").alias("key"),
        F.substring_index("error", ": ", 1).alias("reason"),
        F.when(F.instr("error", ": ") > 0, F.expr("substring(error, instr(error, ': ') + 2)"))
        .otherwise("")
        .alias("detail"),
    )


def task_device(wanted: str) -> str:
    """Return the device of this task: Spark's assignment, or the first GPU where Spark assigns none."""
    if wanted == "cpu":
        return "cpu"
    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context else None
    device = pick_device(
        gpu.addresses if gpu else None, os.environ.get("CUDA_VISIBLE_DEVICES"), 0 if gpu else cuda_count()
    )
    if device == "cpu":
        raise ModelError("models.device must be cpu where a worker has no GPU. Got 'cuda'.")
    return device
