"""A commit that the log of a table does not have is an error; a lease as a row of a table is one run's alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.errors import HeldError, StoreError
from twigma_spark.io import arrow
from twigma_spark.io.delta_log import Commit
from twigma_spark.io.lease import Lease, newest, this_process
from twigma_spark.io.lease_table import TableLeases
from twigma_spark.io.tables import Store
from twigma_spark.schemas import REJECTS

pytestmark = pytest.mark.spark4

AFTER_A_WRITE = 100  # commits that are looked through for our own


class Overwritten(Store):
    """A store where another driver's commit lands on ours, as an object storage without conditions lets it."""

    def _commits(self, name: str, at_most: int) -> Iterator[Commit]:
        if at_most == AFTER_A_WRITE:
            last = max(Path(self.path(name), "_delta_log").glob("*.json"))
            actions = [json.loads(line) for line in last.read_text().splitlines()]
            info = next(action["commitInfo"] for action in actions if "commitInfo" in action)
            info["userMetadata"] = "another's"
            last.write_text("\n".join(json.dumps(action) for action in actions))
        yield from super()._commits(name, at_most)


class Overtaken(Store):
    """A store where another stage commits between our write and the look at its log."""

    def _commits(self, name: str, at_most: int) -> Iterator[Commit]:
        if at_most == AFTER_A_WRITE:
            Store(self.spark, self.root).write(name, rejects(self.spark, 1, "score"), stage="score")
        yield from super()._commits(name, at_most)


def rejects(spark: SparkSession, number: int, stage: str = "embed") -> DataFrame:
    rows = [(stage, "image", "a", str(n), "undecodable", "") for n in range(number)]
    return arrow.local_frame(spark, rows, REJECTS.schema)


def test_a_commit_that_is_not_in_the_log_is_an_error(spark: SparkSession, store: Store) -> None:
    with pytest.raises(StoreError, match=r"table 'rejects' must keep each commit\..*not in its log: another run wrote"):
        Overwritten(spark, store.root).write("rejects", rejects(spark, 2), stage="embed")


def test_a_write_of_nothing_beside_another_commit_is_no_error(spark: SparkSession, store: Store) -> None:
    store.write("rejects", rejects(spark, 1, "score"), stage="score")
    assert Overtaken(spark, store.root).write("rejects", rejects(spark, 0), stage="embed") == 0


def test_a_write_that_lost_the_store_is_refused(spark: SparkSession, store: Store) -> None:
    store.write("rejects", rejects(spark, 1, "score"), stage="score")
    store.lease = Lease(TableLeases(store), store.root, this_process("mine", "run"))
    store.lease._lost = "run another"
    with pytest.raises(HeldError, match="taken over by run another"):
        store.write("rejects", rejects(spark, 1), stage="embed")
    assert store.count("rejects") == 1


def test_a_lease_in_a_table_is_one_run_s(store: Store) -> None:
    files, first = TableLeases(store), Lease(TableLeases(store), store.root, this_process("first", "run"))
    files._create_table()
    begin = threading.Barrier(2)

    def create(run: str) -> bool:
        begin.wait()
        return TableLeases(store).create(1, run)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(create, "ab")) == [False, True]
    files.release(1, json.dumps({**asdict(this_process("before", "run")), "released": "now"}))
    first.take()
    assert files.numbers() == [2]
    held = newest(files)
    assert held is not None and not held.free and abs(held.age) < 60
    with pytest.raises(HeldError, match="held by run first"):
        Lease(files, store.root, this_process("second", "run")).take()
    first.release()
    held = newest(files)
    assert held is not None and held.free
