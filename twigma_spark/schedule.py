"""Which stages wait for which, and running those side by side that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from twigma_spark.schemas import TABLES
from twigma_spark.stages.stage import Stage

RUNS = "runs"
T = TypeVar("T")


def dependencies(stages: Sequence[Stage]) -> dict[str, tuple[str, ...]]:
    """Return the names of the stages that each stage waits for, in order, without those that follow from the others.

    A stage waits for an earlier one that writes a table which it reads, reads a table which it writes, or writes the
    same rows. One that reads `runs` waits for all: the runner writes there after each stage.

    Args:
        stages: in the order in which they would run one after another.
    """
    before: dict[str, set[str]] = {}
    direct: dict[str, list[str]] = {}
    for number, stage in enumerate(stages):
        direct[stage.name] = [earlier.name for earlier in stages[:number] if _must_wait(earlier, stage)]
        before[stage.name] = set(direct[stage.name]).union(*(before[name] for name in direct[stage.name]))
    return {
        name: tuple(one for one in needed if not any(one in before[other] for other in needed))
        for name, needed in direct.items()
    }


def run_in_order(
    stages: Sequence[Stage], run: Callable[[Stage], T], parallel: int, cancel: Callable[[], None] = lambda: None
) -> list[T]:
    """Return what `run` gives back for each stage; at most `parallel` run at once, each after those it waits for.

    Where one fails, those that run are let finish, no other is started, and the first failure is raised.

    Args:
        stages: in the order in which they would run one after another.
        run: runs one stage.
        parallel: stages at once; 1 runs them one after another in this thread.
        cancel: ends what the stages are computing; called where this thread is interrupted.
    """
    if parallel == 1:
        return [run(stage) for stage in stages]
    results: dict[str, T] = {}
    failures: list[BaseException] = []
    waits_for = dependencies(stages)
    waiting = {stage.name: stage for stage in stages}
    running: dict[Future[T], str] = {}
    with ThreadPoolExecutor(parallel, thread_name_prefix="stage") as pool:
        try:
            while True:
                ready = [] if failures else [s for s in waiting.values() if results.keys() >= set(waits_for[s.name])]
                for stage in ready[: parallel - len(running)]:
                    running[pool.submit(run, waiting.pop(stage.name))] = stage.name
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if (error := future.exception()) is None:
                        results[name] = future.result()
                    else:
                        failures.append(error)
        except BaseException:
            cancel()
            raise
    if failures:
        raise failures[0]
    return [results[stage.name] for stage in stages]


def _must_wait(earlier: Stage, later: Stage) -> bool:
    if RUNS in later.reads:
        return True
    same_rows = set(earlier.writes) & set(later.writes) - _own_rows(earlier)
    return bool(set(earlier.writes) & _needs(later) or _needs(earlier) & set(later.writes) or same_rows)


def _needs(stage: Stage) -> set[str]:
    """Return the tables of which the stage reads what others wrote."""
    return set(stage.reads) - _own_rows(stage)


def _own_rows(stage: Stage) -> set[str]:
    """Return the tables of which the stage reads and writes only its own rows."""
    return {name for name in stage.writes if TABLES[name].mode == "by_stage"}


def plan(waits_for: Mapping[str, Sequence[str]], unchanged: Callable[[str], bool]) -> dict[str, bool]:
    """Return for each stage whether it would run: its inputs or settings have changed, or one it waits for would run.

    One of the latter is skipped after all where the tables that it reads turn out unchanged.
    """
    runs: dict[str, bool] = {}
    for name, needed in waits_for.items():
        runs[name] = any(runs[other] for other in needed) or not unchanged(name)
    return runs
