"""Which windows are left: together with those that are known they are the whole time, and none is asked for twice."""

from __future__ import annotations

import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.io.collected import State, Window, months, pending
from twigma_spark.io.sources.source import TIME

FIRST = datetime.datetime(2022, 11, 20, tzinfo=datetime.UTC)
QUERY = "#aiart"


def at(day: int) -> str:
    return (FIRST + datetime.timedelta(days=day)).strftime(TIME)


def days(windows: list[Window]) -> list[str]:
    """Return the days that lie in some windows, one that lies in two of them twice."""
    return sorted(at(day) for window in windows for day in range(-5, 130) if window.start <= at(day) < window.end)


@settings(max_examples=80, deadline=None)
@given(
    bounds=st.lists(st.integers(0, 100), max_size=8, unique=True).map(sorted),
    done=st.lists(st.booleans(), min_size=8, max_size=8),
    start=st.integers(0, 60),
    length=st.integers(0, 60),
    monthly=st.booleans(),
)
def test_what_is_left_and_what_is_done_are_the_whole_time_once(
    bounds: list[int], done: list[bool], start: int, length: int, monthly: bool
) -> None:
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    known = [Window(QUERY, at(a), at(b), done=d) for (a, b), d in zip(pairs, done, strict=False)]
    left = pending(State(tuple(known)), [QUERY], at(start), at(start + length), monthly)
    new = [window for window in left if window not in known]
    asked = [at(day) for day in range(start, start + length)]
    assert [day for day in days(known + new) if day in asked] == asked
    assert set(days(new)) <= set(asked)
    assert [w for w in known if not w.done and w.start < at(start + length)] == [w for w in left if w in known]
    assert not monthly or all(
        w.start[:7] == (parse(w.end) - datetime.timedelta(seconds=1)).strftime("%Y-%m") for w in new
    )


def parse(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, TIME)


def test_months_end_where_they_do() -> None:
    assert list(months("2023-12-31T23:00:00Z", "2024-03-01T00:00:00Z")) == [
        ("2023-12-31T23:00:00Z", "2024-01-01T00:00:00Z"), ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
        ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
    ]  # fmt: skip
    assert list(months("2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z")) == []


def test_windows_are_in_the_order_of_time_and_then_of_the_queries() -> None:
    found = pending(State(), ["b", "a"], "2024-01-31T00:00:00Z", "2024-02-02T00:00:00Z", True)
    assert [(w.start[:10], w.query) for w in found] == [
        ("2024-01-31", "b"), ("2024-01-31", "a"), ("2024-02-01", "b"), ("2024-02-01", "a"),
    ]  # fmt: skip
