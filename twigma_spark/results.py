"""One statistic: its place (analysis, metric, labels) and its value with n, unit, interval and method."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

COLUMNS = ("estimate", "low", "high", "n", "unit", "method")


@dataclass(frozen=True)
class Value:
    """A number with what it rests on.

    Attributes:
        estimate: the number, inf where that is the value; None where there is none, and `method` says why.
        low: lower end of the interval; None where there is none.
        high: upper end of the interval; None where there is none.
        n: units that it rests on.
        unit: what n counts.
        method: estimator and interval, in words.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    method: str


@dataclass(frozen=True)
class Result:
    """A value and its place in the table `results`; `metrics.CATALOGUE` describes each (analysis, metric).

    Attributes:
        analysis: such as ``likes``.
        metric: such as ``mean_likes``.
        labels: what it is of, such as ``{"reference": "art", "quintile": "1"}``; empty where it is of everything.
        value: the number.
    """

    analysis: str
    metric: str
    labels: Mapping[str, str]
    value: Value

    @classmethod
    def of(cls, analysis: str, metric: str, value: Value, **labels: object) -> Result:
        """Return a result with its labels as texts; a label that is None is left out, 0.50 is written 0.5."""
        return cls(analysis, metric, {name: _text(v) for name, v in labels.items() if v is not None}, value)

    @property
    def key(self) -> str:
        """The labels as one text, the same for equal labels: Spark cannot compare maps. Never parse it."""
        return json.dumps(dict(self.labels), sort_keys=True, ensure_ascii=False)

    @property
    def label_text(self) -> str:
        """The labels for readers, such as "art, quintile 1"; "all" where there are none. Never parse it."""
        return ", ".join(_words(name, value) for name, value in self.labels.items()) or "all"

    @property
    def estimate(self) -> float | None:
        """The value's estimate."""
        return self.value.estimate

    @property
    def low(self) -> float | None:
        """The lower end of the value's interval."""
        return self.value.low

    @property
    def high(self) -> float | None:
        """The upper end of the value's interval."""
        return self.value.high

    @property
    def n(self) -> int:
        """Units that the value rests on."""
        return self.value.n

    @property
    def unit(self) -> str:
        """What n counts."""
        return self.value.unit

    @property
    def method(self) -> str:
        """The value's estimator and interval, in words."""
        return self.value.method

    def has(self, **labels: object) -> bool:
        """Return whether the result carries these labels, and perhaps others."""
        return all(self.labels.get(name) == _text(value) for name, value in labels.items())

    def with_value(self, **changes: Any) -> Result:
        """Return the result with fields of its value changed."""
        return replace(self, value=replace(self.value, **changes))


def not_computed(reason: str, n: int, unit: str) -> Value:
    """Return a value that could not be computed, with the reason as its method."""
    return Value(None, None, None, n, unit, f"not computed: {reason}")


def finite(value: float) -> float | None:
    """Return the value, or None where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


def tidy(results: Iterable[Result]) -> tuple[list[str], list[list[object]]]:
    """Return column names and rows of a table with a column for each label; None where a row does not have it."""
    rows = list(results)
    labels = list(dict.fromkeys(name for row in rows for name in row.labels))
    names = ["analysis", "metric", *labels, *COLUMNS]
    values: list[list[object]] = [
        [r.analysis, r.metric, *(r.labels.get(name) for name in labels), *(getattr(r.value, name) for name in COLUMNS)]
        for r in rows
    ]
    return names, values


def _words(name: str, value: str) -> str:
    number = value.replace(".", "", 1).isdigit()
    return f"{name} {value}" if number or name in ("within", "versus") else value


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
