"""Progress and the number of tasks of long inference."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twigma_spark.stages.incremental import TASK_ROWS, Pace, task_count


def test_progress_names_what_is_done_the_pace_and_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 110.0, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    pace = Pace("embed", "images")
    assert pace.line(200, 1000) == "embed: 200 of 1,000 images, 20.0 images/s, 40 s left"
    pace.rejects = 3
    assert pace.line(200, 1000).endswith("40 s left, 3 rejects")
    assert "no time known yet" in pace.line(0, 1000)


@given(st.integers(0, 10**6), st.integers(1, 500))
def test_tasks_are_small_and_fill_the_slots(rows: int, slots: int) -> None:
    tasks = task_count(rows, slots)
    assert tasks % slots == 0 and tasks >= slots
    assert tasks * TASK_ROWS >= rows
    assert tasks == slots or (tasks - slots) * TASK_ROWS < rows
