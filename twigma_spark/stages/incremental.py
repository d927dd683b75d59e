"""Inference in chunks: what is missing is computed and committed part by part, so that an end loses one part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.config import Inference
from twigma_spark.io.session import arrow_batches
from twigma_spark.models.base import Model
from twigma_spark.stages.stage import Work
from twigma_spark.transforms.chunks import chunks
from twigma_spark.transforms.inference import Feed, failures, infer


@dataclass(frozen=True)
class Task:
    """One model over images.

    Attributes:
        stage: for the progress and the rejects.
        table: where the answers go.
        model: a spec.
        value_type: Spark SQL type of an answer.
        how: sizes of the configuration.
        feed: how the model is fed.
        row: makes rows of `table` from image_id, corpus and value.
        fault: says why a value cannot be used, null where it can.
    """

    stage: str
    table: str
    model: Model
    value_type: str
    how: Inference
    feed: Feed
    row: Callable[[DataFrame], DataFrame]
    fault: Callable[[Column], Column] | None = None


def by_chunk(work: Work, missing: DataFrame, task: Task) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the answers and the rejects of the images `missing`, a chunk at a time."""
    total, start, done = missing.count(), time.monotonic(), 0
    for part in chunks(total, task.how.commit_every):
        rows = missing.where(part).select("image_id", "corpus", "source_key", "content")
        with arrow_batches(work.spark, task.how.arrow_batch):
            answered = work.once(infer(rows, "content", task.model, task.value_type, task.feed))
        if task.fault is not None:
            answered = answered.withColumn("error", F.coalesce("error", task.fault(F.col("value"))))
        yield {
            task.table: task.row(answered.where("error IS NULL")),
            "rejects": failures(answered).withColumn("stage", F.lit(task.stage)),
        }
        done = min(done + task.how.commit_every, total)
        rate = done / (time.monotonic() - start)
        if done < total:
            left = (total - done) / rate
            work.say(f"{task.stage}: {done:,} of {total:,} images, {rate:.1f} images/s, {left:,.0f} s left")
