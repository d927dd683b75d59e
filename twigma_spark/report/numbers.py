"""Numbers as they are written on the page, and the interval of a share."""

from __future__ import annotations

import math
from typing import NamedTuple

from twigma_spark.stats import intervals

Z95 = 1.959963984540054
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Below so many a share is said as a count, drawn pale, and never a headline.
FEW = 30
# From here on a number is written with its power of ten.
HUGE = 1e9
WILSON = "95% Wilson interval, images taken as independent"


class Share(NamedTuple):
    """A share with its 95% interval, each between 0 and 1, of `n` units."""

    estimate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        ends = f"[{percent(self.low)}, {percent(self.high)}]"
        if self.n < FEW:
            return f"{round(self.estimate * self.n)} of {self.n}, {percent(self.estimate)} {ends}"
        return f"{percent(self.estimate)} {ends}"


def wilson(hits: int, n: int) -> Share | None:
    """Return a share with Wilson's 95% score interval; None of nothing (Wilson 1927)."""
    if n <= 0:
        return None
    share, low, high = intervals.wilson(hits, n)
    return Share(float(share), float(low), float(high), n)


def number(value: float | None) -> str:
    """Return a value with three significant digits: "0.315", "1.23·10⁻⁸", "3.16·10⁹⁴", "∞", or "–" for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) < 1e-5 or abs(value) >= HUGE:
        return _scientific(f"{value:.2e}")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}".replace("-", "−")


def _scientific(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Return "[low, high]", or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def count(value: int | None) -> str:
    """Return a count with separators between thousands."""
    return "–" if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """Return a share as percent: no decimals from 10%, one below, "<0.1%" for little."""
    if share is None:
        return "–"
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"


def signed_percent(value: float | None) -> str:
    """Return a change that is given in percent, with its sign: "+12%", "−0.4%", "+1,150%", "+3.16·10⁹⁴%"."""
    if value is None:
        return "–"
    if HUGE <= abs(value) < math.inf:
        return _scientific(f"{value:+.2e}") + "%"
    shown = f"{value:+,.0f}%" if abs(value) >= 9.95 else f"{value:+.1f}%"
    return shown.replace("-", "−")


def percent_interval(low: float | None, high: float | None) -> str:
    """Return "[low, high]" of a share as percent, or nothing where there is no interval."""
    return "" if low is None else f"[{percent(low)}, {percent(high)}]"


def percent_ends(low: float | None, high: float | None) -> str:
    """Return "[low, high]" of a change in percent; an interval without an upper end reaches to infinity."""
    return "" if low is None else f"[{signed_percent(low)}, {'+∞' if high is None else signed_percent(high)}]"


def duration(seconds: float) -> str:
    """Return "0.4 s", "42 s", "3 min 05 s" or "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
