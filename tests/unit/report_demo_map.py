"""A made-up map for the report's demo: a cloud of each corpus in a few lumps, and pictures that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twigma_spark.report import grid
from twigma_spark.report.data import ImageMap, MapCell, MapLayer, MapPicture, Picture

SIDE = 128


def image_map(
    sizes: Mapping[str, int], themes: Sequence[str], months: Sequence[str], picture: Callable[..., Picture],
    side: int = SIDE, pictures: int = 12,
) -> ImageMap:  # fmt: skip
    """Return a map of as many images of each corpus as `sizes` says."""
    rng = np.random.default_rng(4)
    cells, corpora, lumps = [], [], []
    for number, n in enumerate(sizes.values()):
        middles, lump = rng.uniform(0.15, 0.85, (6, 2)), rng.integers(6, size=n)
        places = np.clip(middles[lump] + rng.normal(0, 0.05, (n, 2)), 0, 0.999)
        row, column = (places * side).astype(np.int64).T
        cells.append(row * side + column)
        corpora.append(np.full(n, number))
        lumps.append(lump)
    cell, corpus, lump = (np.concatenate(each) for each in (cells, corpora, lumps))
    posts, one = corpus == 0, np.ones(len(cell), np.int64)
    by_corpus = grid.count(cell, corpus, one)
    # A theme is mostly one lump of the posts; later months lie further to the right.
    theme = np.where(rng.random(len(cell)) < 0.8, lump, rng.integers(len(themes), size=len(cell)))
    month = np.clip((cell % side / side * len(months) + rng.normal(0, 2, len(cell))).astype(int), 0, len(months) - 1)
    layers = (
        MapLayer("corpus", tuple(sizes), side, by_corpus),
        MapLayer("date", tuple(months), side, grid.count(cell[posts], month[posts], one[posts])),
        MapLayer("theme", tuple(themes), side, grid.count(cell[posts], theme[posts], one[posts])),
    )
    shown = []
    for number, name in enumerate(sizes):
        mine = by_corpus.groups == number
        chosen = grid.spread(by_corpus.cells[mine], by_corpus.images[mine], side, pictures)
        for n, place in enumerate(by_corpus.cells[mine][chosen].tolist()):
            row, column = divmod(place, side)
            near = tuple((picture(100 + n + i, "art"), 0.9 - i / 10) for i in range(3))
            own = picture(200 + 50 * number + n, name, score=0.9 if n == 3 else 0.0)
            shown.append(MapPicture(own, (column + 0.5) / side, (row + 0.5) / side, near))
    return ImageMap(layers, tuple(shown))


def map_cells(shown: ImageMap) -> tuple[MapCell, ...]:
    """Return the cells of the figures that cannot be zoomed, with dates of the first corpus."""
    layer = shown.layers[0]
    counts, side = grid.halve(layer.counts, layer.side), layer.side // 2
    rows = zip(counts.cells.tolist(), counts.groups.tolist(), counts.images.tolist(), strict=True)
    return tuple(
        MapCell(
            layer.groups[group], cell % side + 0.5, cell // side + 0.5, n,
            0 if group else n, None if group else 2021 + cell % side / 60,
        )
        for cell, group, n in rows
    )  # fmt: skip
