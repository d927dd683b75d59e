"""How often a column of a file is read, as Spark counts the rows of each scan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession


@contextmanager
def rows_read(spark: SparkSession, column: str) -> Iterator[list[int]]:
    """Yield a list that in the end holds the rows of each scan, in order, that read a column within the block."""
    status, rows = spark._jsparkSession.sharedState().statusStore(), []  # type: list[int]
    before = {query.executionId() for query in _queries(spark, status)}
    yield rows
    for query in _queries(spark, status):
        if query.executionId() not in before:
            rows += _rows_of(status, query.executionId(), column)


def _queries(spark: SparkSession, status: Any) -> list[Any]:
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    return _items(status.executionsList())


def _rows_of(status: Any, query: int, column: str) -> list[int]:
    values = status.executionMetrics(query)
    scans = [node for node in _items(status.planGraph(query).allNodes()) if node.name().startswith("Scan")]
    metrics = [m for node in scans if re.search(rf"\[[^\]]*\b{column}#", node.desc()) for m in _items(node.metrics())]
    found = [values.get(m.accumulatorId()) for m in metrics if m.name() == "number of output rows"]
    return [int(each.get().replace(",", "")) for each in found if each.isDefined()]


def _items(sequence: Any) -> list[Any]:
    return [sequence.apply(place) for place in range(sequence.size())]
