import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twigma_spark.report.numbers import (
    count,
    duration,
    interval,
    number,
    percent,
    percent_ends,
    signed_percent,
    wilson,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3149, "0.315"),
        (0.0, "0"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-3.162e94, "−3.16·10⁹⁴"),
        (-0.5, "−0.500"),
        (0.000012, "0.000012"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
        (1.234e-8, "1.23·10⁻⁸"),
        (-4.5e-12, "−4.50·10⁻¹²"),
        (0.00012, "0.000120"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(11.6, "+12%"), (-0.44, "−0.4%"), (1150, "+1,150%"), (3.162e94, "+3.16·10⁹⁴%"), (math.inf, "+inf%"), (None, "–")],
)
def test_a_change_in_percent_is_never_a_line_of_digits(value: float | None, text: str) -> None:
    assert signed_percent(value) == text


def test_interval_needs_both_ends() -> None:
    assert interval(0.1, 0.25) == "[0.100, 0.250]"
    assert interval(0.1, None) == ""


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (0.0001, "<0.1%"), (0.034, "3.4%"), (0.5, "50%"), (1, "100%"), (None, "–")]
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_count() -> None:
    assert (count(1234567), count(None)) == ("1,234,567", "–")


def test_wilson_is_the_published_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263.
    share = wilson(81, 263)
    assert share is not None
    assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) is None


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(case: tuple[int, int]) -> None:
    hits, n = case
    share, mirror = wilson(hits, n), wilson(n - hits, n)
    assert share and mirror
    assert 0 <= share.low <= share.estimate + 1e-12 and share.estimate - 1e-12 <= share.high <= 1
    assert share.low == pytest.approx(1 - mirror.high, abs=1e-9)


def test_a_share_of_few_says_the_count() -> None:
    assert str(wilson(5, 12)) == "5 of 12, 42% [19%, 68%]"
    assert str(wilson(42, 100)) == "42% [33%, 52%]"


def test_an_interval_of_changes_may_have_no_upper_end() -> None:
    assert percent_ends(-12.0, 40.4) == "[−12%, +40%]"
    assert percent_ends(-100.0, None) == "[−100%, +∞]" and percent_ends(None, None) == ""
