"""Images counted in the cells of a square grid: coarser grids, few bytes for a page, places spread evenly; NumPy alone.

A grid has 2^n cells a side; a cell's number is row * side + column, rows from below.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How many images of which group are in which cell; one entry a cell and group, in order of group, then cell.

    Attributes:
        cells: numbers of cells (n,).
        groups: numbers of groups (n,).
        images: how many there are (n,).
    """

    cells: Numbers
    groups: Numbers
    images: Numbers


def count(cells: Numbers, groups: Numbers, images: Numbers) -> Counts:
    """Return counts in order, those of the same cell and group added up."""
    order = np.lexsort((cells, groups))
    cells, groups, images = (np.asarray(each, np.int64)[order] for each in (cells, groups, images))
    first = np.flatnonzero(np.r_[True, (np.diff(cells) != 0) | (np.diff(groups) != 0)][: len(cells)])
    return Counts(cells[first], groups[first], np.add.reduceat(images, first) if len(first) else images)


def halve(counts: Counts, side: int) -> Counts:
    """Return the counts of the grid with half as many cells a side."""
    return count(parents(counts.cells, side, side // 2), counts.groups, counts.images)


def parents(cells: Numbers, side: int, coarse: int) -> Numbers:
    """Return in which cell of a grid of `coarse` cells a side each cell of a finer grid is."""
    step = side // coarse
    return (cells // side) // step * coarse + (cells % side) // step


def bound(counts: Counts, side: int, most: int) -> tuple[Counts, int]:
    """Return the counts of the finest grid, from `side` on, with at most `most` entries, and its side.

    One cell is the coarsest grid, even where it has more entries: one for each group.
    """
    while len(counts.cells) > most and side > 1:
        counts, side = halve(counts, side), side // 2
    return counts, side


def varints(values: Numbers) -> bytes:
    """Return numbers from 0 up as bytes: 7 bits each, the lowest first, the high bit where more of the number follow.

    The unsigned LEB128 of DWARF and WebAssembly.
    """
    left = np.asarray(values, np.int64)
    length = np.maximum(1, (np.frexp(left.astype(np.float64))[1] + 6) // 7)
    ends = np.cumsum(length)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(int(length.max(initial=0))):
        has = length > place
        more = np.where(length[has] > place + 1, 0x80, 0)
        out[(ends - length)[has] + place] = (left[has] >> (7 * place)) & 0x7F | more
    return out.tobytes()


def spread(cells: Numbers, images: Numbers, side: int, most: int) -> Numbers:
    """Return the places of at most `most` cells that stand for all, each for about as many images as any other.

    The leaves of a quadtree: the square with the most images is divided in four until there are `most` squares or
    none has more than one cell. Of each the cell nearest to the middle of its images is chosen.

    Args:
        cells: numbers of cells, each once (n,).
        images: in each (n,).
        side: of the grid.
        most: cells at most.
    """
    if not len(cells) or most < 1:
        return np.zeros(0, np.int64)
    row, column = cells // side, cells % side
    order = np.argsort(_interleave(row, column), kind="stable")
    codes, weights = _interleave(row, column)[order], np.r_[0, np.cumsum(images[order])]
    # A square: minus its images, its first and last place among the codes, its first code, the codes it spans.
    squares, done = [(-int(weights[-1]), 0, len(codes), 0, side * side)], list[tuple[int, int, int, int, int]]()
    while squares and len(squares) + len(done) < most:
        square = heapq.heappop(squares)
        _, low, high, code, span = square
        if high - low == 1:
            done.append(square)
            continue
        corners = code + span // 4 * np.arange(5)
        cuts = low + np.searchsorted(codes[low:high], corners)
        parts = [
            (-int(weights[b] - weights[a]), int(a), int(b), int(corner), span // 4)
            for a, b, corner in zip(cuts[:-1], cuts[1:], corners[:-1], strict=True)
            if b > a
        ]
        if len(squares) + len(done) + len(parts) > most:
            done.append(square)
            continue
        for part in parts:
            heapq.heappush(squares, part)
    chosen = [_middle(order[low:high], row, column, images) for _, low, high, _, _ in (*done, *squares)]
    return np.sort(np.array(chosen, np.int64))


def _middle(places: Numbers, row: Numbers, column: Numbers, images: Numbers) -> int:
    """Return the one of some places that is nearest to the mean of their images."""
    y, x, weight = row[places], column[places], images[places]
    off = (y - np.average(y, weights=weight)) ** 2 + (x - np.average(x, weights=weight)) ** 2
    return int(places[int(np.argmin(off))])


def _interleave(row: Numbers, column: Numbers) -> Numbers:
    """Return the bits of row and column by turns (Morton's order), in which every square of a quadtree is a range."""
    code = np.zeros(len(row), np.int64)
    for bit in range(31):
        code |= ((column >> bit & 1) << (2 * bit)) | ((row >> bit & 1) << (2 * bit + 1))
    return code
