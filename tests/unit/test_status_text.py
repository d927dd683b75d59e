"""The status of a store as text: who holds it, what failed, what is stale and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from twigma_spark.io.lease import Held, Holder
from twigma_spark.io.runs import RunSummary
from twigma_spark.status import Status, TableStatus, add_waiting, as_text

HOLDER = Holder("abc", "run", "driver", 42, "2026-01-02 03:04 UTC")
BEFORE = replace(HOLDER, released="2026-01-02 04:00 UTC")
EMPTY = Status("s3a://b/t", None, (), {}, {}, ())


def test_a_stage_without_reasons_of_its_own_waits_for_those_that_have() -> None:
    own: dict[str, list[str]] = {"ingest": ["files"], "embed": [], "score": [], "phash": ["version"], "report": []}
    waits_for = {
        "ingest": (),
        "embed": ("ingest",),
        "score": ("embed",),
        "phash": ("ingest",),
        "report": ("score", "phash"),
    }
    assert add_waiting(own, waits_for) == {
        "ingest": ["files"],
        "embed": ["it waits for ingest"],
        "score": ["it waits for embed"],
        "phash": ["version"],
        "report": ["it waits for score, phash"],
    }
    assert add_waiting({"ingest": [], "embed": []}, waits_for) == {"ingest": [], "embed": []}


@pytest.mark.parametrize(
    ("held", "line"),
    [
        (None, "by nobody"),
        (Held(1, HOLDER, 3, False), "by run abc (twigma run) on driver, process 42, since 2026-01-02 03:04 UTC, "),
        (Held(1, BEFORE, 3, True), "by nobody; last by run abc (twigma run)"),
        (Held(1, HOLDER, 300, True), "by nobody: the next run takes it over from run abc"),
        (Held(1, None, 3, False), "by a run whose lease cannot be read, last heartbeat 3 s ago"),
    ],
)  # fmt: skip
def test_it_says_who_holds_the_store(held: Held | None, line: str) -> None:
    assert as_text(replace(EMPTY, lease=held)).splitlines()[1].startswith(f"held      {line}")


def test_every_part_is_shown_and_an_empty_one_too() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5)
    text = as_text(
        replace(
            EMPTY,
            runs=[RunSummary("abc", at, 12.5, 3, {"score": "ModelError: no weights"})],
            stale={"embed": [], "score": ["no run of it has ended well"]},
            rejects={"ingest": {"undecodable": 3, "empty": 1}},
            tables=[TableStatus("images", 1200, 4, at, (200, 1000))],
        )
    )
    for line in (
        "  2026-01-02 03:04:05  abc       12.5 s  3 stages; score failed: ModelError: no weights",
        "  embed            up to date",
        "  score            stale: no run of it has ended well",
        "  ingest           undecodable 3, empty 1",
        "  images                  1,200         4  2026-01-02 03:04:05  200, 1,000",
    ):
        assert line in text.splitlines()
    assert as_text(EMPTY).count("\n  none") == 4
