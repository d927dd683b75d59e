"""When posts were made: 27 months in which themes rise, fall or hold."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from twigma_spark.sample.dice import Dice
from twigma_spark.sample.records import TrendTruth

MONTHS = tuple((2021 + index // 12, index % 12 + 1) for index in range(27))
SLOPES: dict[str, float] = {
    "robot": 0.07,
    "portrait": 0.06,
    "space": 0.05,
    "animal": 0.0,
    "city": 0.0,
    "mountains": 0.0,
    "underwater": 0.0,
    "castle": -0.05,
    "flower": -0.06,
    "abstract": -0.07,
}
_GROWTH = 3.0
_EPOCH_MS = 1_288_834_974_657


def month_weights() -> list[float]:
    """How many posts each month sees against the first; the last sees `_GROWTH` times as many."""
    return [1 + (_GROWTH - 1) * index / (len(MONTHS) - 1) for index in range(len(MONTHS))]


def draw_time(dice: Dice) -> datetime:
    """A moment of the 27 months; the last month sees `_GROWTH` times the posts of the first."""
    year, month = dice.weighted(MONTHS, month_weights())
    start = datetime(year, month, 1, tzinfo=UTC)
    days = (datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - start).days
    return start + timedelta(milliseconds=int(dice.unit() * days * 86_400_000))


def draw_theme(when: datetime, dice: Dice) -> str:
    """A theme as the fashion of the month has it."""
    away = (when.year - 2021) * 12 + when.month - 1 - (len(MONTHS) - 1) / 2
    return dice.weighted(list(SLOPES), [math.exp(slope * away) for slope in SLOPES.values()])


def trends() -> dict[str, TrendTruth]:
    """The planted trend of every theme of the posts."""
    signs = {1: "rising", 0: "steady", -1: "falling"}
    return {
        theme: TrendTruth(slope_per_month=slope, direction=signs[(slope > 0) - (slope < 0)])
        for theme, slope in SLOPES.items()
    }


def post_id(when: datetime, serial: int) -> str:
    """The id that the network would give: milliseconds since its epoch, then a serial number."""
    milliseconds = int(when.timestamp() * 1000) - _EPOCH_MS
    return str((milliseconds << 22) | (serial & 0x3FFFFF))
