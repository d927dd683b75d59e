"""Which of two ways to one answer is the quicker, found out while both are used."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import TypeVar

from twigma_spark.estimators.bf16_products import adds_in_float32
from twigma_spark.models.device import cpu_features, multiplies_bf16_fast

T = TypeVar("T")

# Seconds of the plain way after which torch's import, of some four, may be worth its time.
LEAST_SECONDS = 20.0
# Turns of each way that are timed, and the share of the plain way's time at which the other one is taken.
TURNS, WORTH = 3, 0.9


class Trial:
    """Two ways to the same answer, of which the quicker one is taken in the end.

    The other way is tried once the plain one has taken `LEAST_SECONDS` in this process. They take turns on the work
    that comes, so that nothing is computed twice.

    Args:
        ready: prepares the other way, and says whether it can be used here; called once.

    Attributes:
        taken: "plain" or "other" once it is decided, else None.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready, self._seconds = ready, 0.0
        self._turns: tuple[list[float], list[float]] | None = None
        self.taken: str | None = None

    def run(self, work: float, plain: Callable[[], T], other: Callable[[], T]) -> T:
        """Return what one of the two ways does.

        Args:
            work: how much there is to do, in any unit.
            plain: the way that can always be gone.
            other: the way that may be quicker.
        """
        if self.taken is None and self._turns is None and self._seconds >= LEAST_SECONDS:
            if self._ready():
                other()  # what a library prepares at its first call is not timed
                self._turns = ([], [])
            else:
                self.taken = "plain"
        if self.taken:
            return plain() if self.taken == "plain" else other()
        if self._turns is None:
            seconds, answer = _timed(plain)
            self._seconds += seconds
            return answer
        mine = len(self._turns[1]) < len(self._turns[0])
        seconds, answer = _timed(other if mine else plain)
        self._turns[mine].append(seconds / max(work, 1.0))
        if len(self._turns[1]) == TURNS:
            first, second = (median(turns) for turns in self._turns)
            self.taken = "other" if second <= WORTH * first else "plain"
        return answer


def can_use_bf16() -> bool:
    """Return whether bf16 products can be quicker here and are as the bounds have them; may import torch."""
    if not multiplies_bf16_fast(cpu_features()) or find_spec("torch") is None:
        return False
    return adds_in_float32()


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer
