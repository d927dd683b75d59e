"""Which stages wait for which, and what runs beside what."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies, plan, run_in_order
from twigma_spark.stages.stage import Stage

TABLES = ("images", "embeddings", "duplicates", "scores")


def stage(name: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> Stage:
    return Stage(name, "", reads, writes, (), run=lambda: {})


DIAMOND = [
    stage("a", (), ("images",)),
    stage("b", ("images",), ("embeddings", "rejects")),
    stage("c", ("images",), ("duplicates", "rejects")),
    stage("d", ("images", "embeddings", "duplicates"), ("scores",)),
]


def test_a_stage_waits_for_what_writes_its_tables_and_for_no_one_that_follows_from_it() -> None:
    assert dependencies(DIAMOND) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def test_own_rows_of_a_shared_table_bind_nobody() -> None:
    one, two = stage("one", ("artifacts",), ("artifacts",)), stage("two", ("artifacts",), ("artifacts", "results"))
    assert dependencies([one, two]) == {"one": (), "two": ()}


def test_a_reader_of_all_rows_waits_for_every_writer() -> None:
    last = stage("last", ("rejects",), ("scores",))
    assert dependencies([*DIAMOND[:3], last])["last"] == ("b", "c")


def test_a_writer_waits_for_the_reader_before_it_and_for_another_writer_of_the_same_rows() -> None:
    reader, writer = stage("reader", ("rejects",), ("scores",)), stage("writer", (), ("rejects",))
    assert dependencies([reader, writer])["writer"] == ("reader",)
    assert dependencies([stage("x", (), ("images",)), stage("y", (), ("images",))])["y"] == ("x",)


def test_a_reader_of_runs_waits_for_all() -> None:
    assert dependencies([*DIAMOND, stage("report", ("runs",), ("reports",))])["report"] == ("d",)


def test_what_is_left_out_binds_nobody_but_keeps_what_it_hid() -> None:
    assert dependencies([DIAMOND[0], DIAMOND[3]]) == {"a": (), "d": ("a",)}


def test_the_pipeline_is_no_chain_and_the_report_is_its_end() -> None:
    waits_for = dependencies(STAGES)
    assert waits_for["fetch"] == () and waits_for["ingest"] == ("fetch",) and waits_for["embed"] == ("ingest",)
    beside = {name for name, needed in waits_for.items() if needed == ("deduplicate",)}
    assert {"score", "caption", "neighbours", "project"} <= beside
    reached, front = set(), ["report"]
    while front:
        name = front.pop()
        reached.add(name)
        front += waits_for[name]
    assert reached == {stage.name for stage in STAGES}


def meet(stages: list[Stage], parallel: int) -> tuple[list[str], int]:
    """Return what a run gave back, and how many stages ran at once at most."""
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=5)

    def run(one: Stage) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if parallel > 1 and one.name in "bc":
            both.wait()
        with lock:
            running -= 1
        return one.name

    return run_in_order(stages, run, parallel), most


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_results_come_in_order_whatever_runs_beside_what(parallel: int) -> None:
    results, most = meet(DIAMOND, parallel)
    assert results == ["a", "b", "c", "d"]
    assert most == min(parallel, 2)


def failing(name: str, done: list[str], started: threading.Event) -> Callable[[Stage], str]:
    def run(one: Stage) -> str:
        if one.name == name:
            assert started.wait(5)
            raise ValueError(f"{name} failed")
        if one.name == "c":
            started.set()
        done.append(one.name)
        return one.name

    return run


def test_a_failure_lets_the_one_beside_it_finish_and_starts_no_other() -> None:
    done: list[str] = []
    with pytest.raises(ValueError, match="b failed"):
        run_in_order(DIAMOND, failing("b", done, threading.Event()), 2)
    assert done == ["a", "c"]


def test_an_interruption_cancels_what_runs() -> None:
    cancelled = threading.Event()

    def run(one: Stage) -> str:
        if one.name == "a":
            raise KeyboardInterrupt
        return one.name

    with pytest.raises(KeyboardInterrupt):
        run_in_order(DIAMOND, run, 2, cancelled.set)


def test_a_stage_runs_where_it_or_one_before_it_has_changed() -> None:
    waits_for = dependencies(DIAMOND)
    assert plan(waits_for, lambda name: name != "b") == {"a": False, "b": True, "c": False, "d": True}
    assert not any(plan(waits_for, lambda name: True).values())
    assert all(plan(waits_for, lambda name: name != "a").values())
