"""Inference in chunks: what is missing is computed and committed part by part, so that an end loses one part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.io.frames import count_rows
from twigma_spark.io.session import picture_batches, slots, watch_tasks
from twigma_spark.models.base import Model
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.chunks import assign_balanced_tasks, chunks
from twigma_spark.transforms.images import NO_BYTES
from twigma_spark.transforms.inference import Feed, failures, infer

# Rows of one task: few enough that a lost worker costs little, enough that a batch's filling does not show.
TASK_ROWS = 1000
# What a model of images is given of each.
IMAGE = ("image_id", "corpus", "source_key", "content")


@dataclass(frozen=True)
class InferenceInput:
    """The rows that a model is applied to.

    Attributes:
        rows: has `key`, corpus, source_key and `item`.
        answered: rows that have the `key` of what needs no answer.
        key: column of hex digits of a hash; its ranges are the chunks.
        item: column that the model takes; the answers come without it.
        unit: what a row is, for the progress and the rejects.
        only: rows with the `key` of what is to be asked; None for all.
        named: columns of `only` and `answered` that name an answer beside the key, such as the id of a prompt.
        also: further columns of `only` that the model takes with the item, such as the prompt.
    """

    rows: DataFrame
    answered: DataFrame
    key: str = "image_id"
    item: str = "content"
    unit: str = "image"
    only: DataFrame | None = None
    named: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def missing(self) -> DataFrame:
        """Return the keys without an answer, with the columns `named` and `also`; no item is read for it."""
        keys, name = self.rows.select(self.key), [self.key, *self.named]
        if self.only is not None:
            given = self.only.select(*name, *self.also)
            keys = keys.join(given, self.key, "inner" if self.named or self.also else "left_semi")
        return keys.join(self.answered.select(*name), name, "left_anti")

    def part(self, inside: Column, keys: DataFrame, tasks: int) -> DataFrame:
        """Return the rows of a chunk in `tasks` partitions; its keys go to the rows, to shuffle no others."""
        columns = (*self.named, *self.also)
        chunk = F.broadcast(assign_balanced_tasks(keys.where(inside), self.key, tasks, columns))
        return self.rows.where(inside).join(chunk, self.key).repartition(tasks, "task").drop("task")


@dataclass(frozen=True)
class Task:
    """One model over items.

    Attributes:
        stage: for the progress and the rejects.
        table: where the answers go.
        model: a spec.
        value_type: Spark SQL type of an answer.
        how: sizes of the configuration.
        feed: how the model is fed.
        row: makes rows of `table` from the items' other columns and value.
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


def with_bytes(context: StageContext, stage: str, images: DataFrame, otherwise: str) -> DataFrame:
    """Return what a model of images is given: those that have bytes. How many came as vectors alone is shown.

    Args:
        context: of the stage.
        stage: its name.
        images: rows of the table `images`.
        otherwise: what becomes of the others, in words.
    """
    if n := count_rows(images.where(NO_BYTES)):
        context.log(f"{stage}: {n:,} images came as vectors and have no bytes: {otherwise}")
    return images.where(f"NOT ({NO_BYTES})").select(*IMAGE)


def by_chunk(context: StageContext, items: InferenceInput, task: Task) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the answers and the rejects of the items that have none yet, a chunk at a time."""
    keys = items.missing()
    total, pace = count_rows(keys), Pace(task.stage, f"{items.unit}s")
    parts = chunks(items.key, total, task.how.commit_every) if total else []
    for number, inside in enumerate(parts):
        share = (total * (number + 1) // len(parts)) - (before := total * number // len(parts))
        tasks = task.how.partitions or task_count(share, slots(context.spark))
        part = items.part(inside, keys, tasks)
        inferred = infer(part, items.item, task.model, task.value_type, task.feed, items.also)
        if task.fault is not None:
            inferred = inferred.withColumn("error", F.coalesce("error", task.fault(F.col("value"))))

        def tell(done: float, before: int = before, share: int = share) -> None:
            context.progress(pace.line(before + int(done * share), total))

        with picture_batches(context.spark, task.how.arrow_batch), watch_tasks(context.spark, tasks, tell):
            answered = context.materialize(inferred)
        rejects = failures(answered, items.unit).withColumn("stage", F.lit(task.stage))
        refused = count_rows(rejects)
        pace.rejects += refused
        frames = {task.table: task.row(answered.where("error IS NULL"))}
        yield {**frames, "rejects": rejects} if refused else frames
        if number + 1 < len(parts):
            context.log(pace.line(before + share, total))


def task_count(rows: int, slots: int) -> int:
    """Return how many tasks `rows` are parted into: a multiple of the slots, so that none is idle at the end."""
    return slots * max(1, -(-rows // (slots * TASK_ROWS)))


class Pace:
    """How far a stage is, from the time it began."""

    def __init__(self, stage: str, unit: str) -> None:
        self.stage, self.unit, self.rejects, self._start = stage, unit, 0, time.monotonic()

    def line(self, done: int, total: int) -> str:
        """Return for example "embed: 200 of 1,000 images, 20.0 images/s, 40 s left, 3 rejects"."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = done / seconds
        left = f"{(total - done) / rate:,.0f} s left" if rate else "no time known yet"
        text = f"{self.stage}: {done:,} of {total:,} {self.unit}, {rate:,.1f} {self.unit}/s, {left}"
        return f"{text}, {self.rejects:,} rejects" if self.rejects else text
