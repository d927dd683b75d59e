"""Rows assigned to tasks: each key once, and no task with more than its share."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.chunks import assign_balanced_tasks, partition_ids


@pytest.mark.parametrize(("tasks", "sizes"), [(1, [10]), (4, [2, 2, 3, 3]), (7, [1] * 4 + [2] * 3), (64, [1] * 10)])
def test_each_task_has_its_share_and_a_partition_of_its_own(spark: SparkSession, tasks: int, sizes: list[int]) -> None:
    keys = [f"{n * 7919 % 10}" for n in range(10)]
    frame = local_frame(spark, [(key,) for key in [*keys, "3", "3"]], "image_id STRING")
    parted = assign_balanced_tasks(frame, "image_id", tasks).repartition(tasks, "task")
    rows = parted.select("image_id", F.spark_partition_id().alias("partition")).collect()
    assert sorted(row.image_id for row in rows) == sorted(keys)
    filled = [row.partition for row in rows]
    assert sorted(filled.count(number) for number in set(filled)) == sizes


def test_every_partition_has_a_seat(spark: SparkSession) -> None:
    for tasks in (1, 2, 48, 500):
        rows = partition_ids(spark, tasks).collect()
        assert {row.part for row in rows} == set(range(1, tasks + 1))
        assert len({row.task for row in rows}) == tasks
