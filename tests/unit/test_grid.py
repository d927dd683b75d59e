"""Counts in cells: coarser grids lose no image, bytes are read back, and pictures stand for equal parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twigma_spark.report import grid
from twigma_spark.report.grid import Counts

SIDE = 16
CELLS = st.integers(0, SIDE**2 - 1)


def read(content: bytes) -> list[int]:
    """Return varints, as the definition of LEB128 reads them."""
    found, value, shift = [], 0, 0
    for byte in content:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value, shift = 0, 0
    return found


def dense(counts: Counts, side: int, groups: int) -> np.ndarray:
    table = np.zeros((groups, side, side), np.int64)
    np.add.at(table, (counts.groups, counts.cells // side, counts.cells % side), counts.images)
    return table


@st.composite
def counted(draw: st.DrawFn) -> tuple[Counts, np.ndarray]:
    """Draw images in cells and groups, as counts and as a table (group, row, column)."""
    n = draw(st.integers(0, 40))
    cells, groups = draw(arrays(np.int64, n, elements=CELLS)), draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    images = draw(arrays(np.int64, n, elements=st.integers(1, 10**6)))
    table = np.zeros((3, SIDE, SIDE), np.int64)
    np.add.at(table, (groups, cells // SIDE, cells % SIDE), images)
    return grid.count(cells, groups, images), table


@given(counted())
def test_counts_add_up_and_a_coarser_grid_is_sums_of_four_cells(drawn: tuple[Counts, np.ndarray]) -> None:
    counts, table = drawn
    assert (dense(counts, SIDE, 3) == table).all()
    keys = counts.groups * SIDE**2 + counts.cells
    assert (np.diff(keys) > 0).all()
    half = grid.halve(counts, SIDE)
    assert (dense(half, SIDE // 2, 3) == table.reshape(3, SIDE // 2, 2, SIDE // 2, 2).sum((2, 4))).all()


@given(counted(), st.integers(1, 30))
def test_entries_are_bounded_whatever_the_images(drawn: tuple[Counts, np.ndarray], most: int) -> None:
    counts, table = drawn
    fewer, side = grid.bound(counts, SIDE, most)
    assert len(fewer.cells) <= max(most, 3) and fewer.images.sum() == table.sum()
    assert side == SIDE or len(grid.bound(counts, SIDE, len(counts.cells))[0].cells) > most


@given(st.lists(st.integers(0, 2**40) | st.integers(0, 300)))
def test_varints_are_read_back(values: list[int]) -> None:
    assert read(grid.varints(np.array(values, np.int64))) == values


def test_the_bytes_of_varints_are_those_of_the_definition() -> None:
    """624485 is E5 8E 26 in the DWARF standard's example."""
    assert grid.varints(np.array([624485, 0, 127, 128])) == bytes.fromhex("e58e26007f8001")


@given(counted(), st.integers(0, 50))
def test_a_choice_has_each_cell_once_and_no_more_than_asked(drawn: tuple[Counts, np.ndarray], most: int) -> None:
    counts, _ = drawn
    one = counts.groups == 0
    chosen = grid.spread(counts.cells[one], counts.images[one], SIDE, most)
    assert len(chosen) == len(set(chosen.tolist())) <= most
    assert len(chosen) == one.sum() if most >= 4 * one.sum() else len(chosen) <= one.sum()


def test_pictures_are_where_the_images_are() -> None:
    """Nine tenths of the images lie in one quarter: about as many of the pictures do, and no part has none."""
    rng = np.random.default_rng(0)
    side = 256
    places = np.r_[rng.integers(0, side // 2, (90_000, 2)), rng.integers(0, side, (10_000, 2))]
    cells, images = np.unique(places[:, 0] * side + places[:, 1], return_counts=True)
    chosen = cells[grid.spread(cells, images, side, 100)]
    row, column = chosen // side, chosen % side
    quarters = np.bincount((row // 128) * 2 + column // 128, minlength=4)
    assert 90 <= len(chosen) <= 100
    assert quarters[0] == pytest.approx(0.925 * len(chosen), abs=20) and quarters.min() >= 1
