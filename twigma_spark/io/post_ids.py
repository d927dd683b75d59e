"""Ids of posts that a program has turned into numbers, and so changed."""

from __future__ import annotations

from collections.abc import Sequence

# 123.0, 1.23e18 and 1e+18; hex digits with one e among them, as ids of images may be, are not.
DAMAGED = r"^\d+\.\d*([eE]\+?\d+)?$|^\d[eE]\+?\d{1,2}$"
WAY_OUT = (
    "a program has read them as numbers, which changes their last digits for good. Take them from the original file, "
    "read as text (dtype=str in pandas, the column as text in a spreadsheet)"
)
# Ids that must all be multiples of a number before it is no chance.
ENOUGH = 50


def find_rounding(ids: Sequence[str]) -> str | None:
    """Return what shows that whole ids were rounded, None where nothing does.

    A double has 53 bits, so above 2^53 it holds multiples of 2, 4, 8 and so on only: of 64 at least where ids have 18
    digits and more. A spreadsheet keeps 15 digits. Ids of posts end in any digits: of ENOUGH some are no multiples.
    """
    long = {int(name) for name in ids if name.isascii() and name.isdigit() and len(name) >= 18}
    if len(long) < ENOUGH:
        return None
    if all(number % 1000 == 0 for number in long):
        return "all end in 000, as in a spreadsheet, which keeps 15 digits"
    if all(number % _spacing(number) == 0 for number in long):
        return "all are multiples of 64 or more, as whole floats of that size are"
    return None


def _spacing(number: int) -> int:
    """Return the distance of the floats of 64 bits at a number: powers of 2."""
    return int(2 ** max(0, number.bit_length() - 53))
