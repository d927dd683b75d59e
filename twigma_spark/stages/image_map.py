"""The map of the report: images counted in cells by Spark, and the pictures that stand for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.report import grid
from twigma_spark.report.data import CorpusSummary, ImageMap, MapCell, MapLayer, MapPicture, Picture, ThemeSummary
from twigma_spark.report.grid import Numbers
from twigma_spark.stages import inputs
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import density, gallery
from twigma_spark.transforms.density import Square

# Cells a side of the figures that cannot be zoomed.
COARSE = 64
# Groups that dates are put into at most, and how many months one may have.
PERIODS = 12
MONTHS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400)
Row = dict[str, Any]


@dataclass(frozen=True)
class CountedMap:
    """The map without its pictures.

    Attributes:
        cells: of the coarse grid, for figures.
        layers: by corpus, date and theme, those that there are.
        places: of the images that stand for the others: x and y, 0 to 1.
        neighbours: of those images: image_id, neighbour_id, similarity, the most similar first.
    """

    cells: tuple[MapCell, ...] = ()
    layers: tuple[MapLayer, ...] = ()
    places: Mapping[str, tuple[float, float]] | None = None
    neighbours: tuple[Row, ...] = ()

    @property
    def pictures(self) -> set[str]:
        """The ids of the images that stand for others."""
        return set(self.places or {})

    @property
    def all_pictures(self) -> set[str]:
        """Those and their neighbours'."""
        return self.pictures | {row["neighbour_id"] for row in self.neighbours}


def count_map(cfg: Config, spark: SparkSession, tables: Frames, corpora: Sequence[CorpusSummary]) -> CountedMap:
    """Return the map; what comes to the driver is bounded by the cells of the grid, not by the images."""
    projection = tables["projection"].where("x IS NOT NULL AND y IS NOT NULL").select("image_id", "corpus", "x", "y")
    (ends,) = density.bounds(projection).collect()
    if ends["min_x"] is None:
        return CountedMap()
    on = density.square(**ends.asDict(), bins=cfg.report.map_bins)
    dates = _date_periods(corpora)
    layers = {"corpus": F.col("corpus"), **({"date": dates.group} if dates else {}), "theme": F.col("theme")}
    counts = arrow.collect(density.cells(_join_dates_and_themes(cfg, projection, tables), layers, on))
    by_layer = {name: counts.filter(pc.equal(counts["layer"], name)) for name in layers}
    own = by_layer["corpus"]
    order = [corpus.name for corpus in corpora]
    names = list(dict.fromkeys([*order, *sorted(pc.unique(own["group"]).to_pylist())]))
    groups = _numbers(pc.index_in(own["group"], pa.array(names)))
    shown = [_layer(cfg, "corpus", names, on, own, groups)]
    if dates and by_layer["date"].num_rows:
        shown.append(_layer(cfg, "date", dates.names, on, by_layer["date"]))
    if by_layer["theme"].num_rows:
        last = int(_numbers(_as_numbers(by_layer["theme"]["group"])).max())
        shown.append(_layer(cfg, "theme", [str(theme) for theme in range(last + 1)], on, by_layer["theme"]))
    places = _stand_ins(cfg, spark, projection, own, groups, on)
    near = _neighbours(cfg, spark, tables["neighbours"], places)
    return CountedMap(coarse_cells(own, names, groups, on), tuple(shown), places, near)


def show_map(counted: CountedMap, pictures: Mapping[str, Picture], themes: Sequence[ThemeSummary]) -> ImageMap | None:
    """Return the map with its pictures, and with the headings of themes instead of their numbers; None without one."""
    if not counted.layers:
        return None
    headings = {str(theme.cluster): theme.heading for theme in themes}
    layers = [
        MapLayer(each.name, tuple(headings.get(name, f"theme {name}") for name in each.groups), each.side, each.counts)
        if each.name == "theme" else each
        for each in counted.layers
    ]  # fmt: skip
    near: dict[str, list[tuple[Picture, float]]] = {}
    for row in counted.neighbours:
        if row["neighbour_id"] in pictures:
            near.setdefault(row["image_id"], []).append((pictures[row["neighbour_id"]], row["similarity"]))
    shown = [
        MapPicture(pictures[image_id], x, y, tuple(near.get(image_id, ())))
        for image_id, (x, y) in sorted((counted.places or {}).items())
        if image_id in pictures
    ]
    return ImageMap(tuple(layers), tuple(shown))


def coarse_cells(counts: pa.Table, names: Sequence[str], groups: Numbers, on: Square) -> tuple[MapCell, ...]:
    """Return the cells of a grid of COARSE cells a side, in order of corpus, then place."""
    side = min(COARSE, on.bins)
    coarse = Square(on.left, on.below, on.width, side)
    keys = groups * side**2 + grid.parents(_numbers(counts["cell"]), on.bins, side)
    kept, places = np.unique(keys, return_inverse=True)
    images, dated, years = (
        np.bincount(places, weights=counts[name].to_numpy(), minlength=len(kept))
        for name in ("images", "dated", "years")
    )
    return tuple(
        MapCell(
            names[key // side**2], *coarse.middle(key % side**2), int(n), int(k), float(total / k) if k else None
        )
        for key, n, k, total in zip(kept.tolist(), images, dated, years, strict=True)
    )  # fmt: skip


def periods(first: int, last: int) -> tuple[int, int]:
    """Return the first month of the first period, and the months of each, so that there are PERIODS at most.

    Months are counted from year 0; periods begin at multiples of their length, as quarters and years do.
    """
    width = next((w for w in MONTHS if last // w - first // w < PERIODS), MONTHS[-1])
    return first // width * width, width


def period_name(month: int, width: int) -> str:
    """Return a month, a year or the ends of a period, such as "2022-04 to 2022-06"."""
    if width % 12 == 0:
        first, last = month // 12, (month + width) // 12 - 1
        return f"{first}" if first == last else f"{first} to {last}"
    ends = [f"{m // 12}-{m % 12 + 1:02d}" for m in (month, month + width - 1)]
    return ends[0] if width == 1 else " to ".join(ends)


def _join_dates_and_themes(cfg: Config, projection: DataFrame, tables: Frames) -> DataFrame:
    """Return the images on the map with their dates and themes: image_id, corpus, x, y, created_at, theme."""
    dated = tables["images"].where("created_at IS NOT NULL").select("image_id", "created_at")
    clusters = inputs.clustering(tables["clusters"], inputs.theme_clustering(cfg))
    themes = clusters.select("image_id", F.col("cluster").cast("string").alias("theme"))
    return projection.join(dated, "image_id", "left").join(themes, "image_id", "left")


@dataclass(frozen=True)
class _Periods:
    """The periods of the posts: `group` is the number of an image's as text, null of other images and of no date."""

    names: tuple[str, ...]
    group: Column


def _date_periods(corpora: Sequence[CorpusSummary]) -> _Periods | None:
    """Return the periods of the posts' dates; works of art are centuries older. None where no post has a date."""
    posts = [corpus for corpus in corpora if corpus.role == "posts"]
    dates = [date for corpus in posts for date in (corpus.since, corpus.until) if date is not None]
    if not dates:
        return None
    first, last = (date.year * 12 + date.month - 1 for date in (min(dates), max(dates)))
    start, width = periods(first, last)
    month = F.year("created_at") * 12 + F.month("created_at") - 1
    of_posts = F.col("corpus").isin([corpus.name for corpus in posts])
    group = F.when(of_posts, ((month - start) / width).cast("int").cast("string"))
    return _Periods(tuple(period_name(month, width) for month in range(start, last + 1, width)), group)


def _layer(
    cfg: Config, name: str, names: Sequence[str], on: Square, counted: pa.Table, groups: Numbers | None = None
) -> MapLayer:
    """Return the counts of a layer in the finest grid whose entries are few enough."""
    groups = _numbers(_as_numbers(counted["group"])) if groups is None else groups
    counts = grid.count(_numbers(counted["cell"]), groups, _numbers(counted["images"]))
    counts, side = grid.bound(counts, on.bins, cfg.report.map_entries)
    return MapLayer(name, tuple(names), side, counts)


def _stand_ins(
    cfg: Config, spark: SparkSession, projection: DataFrame, counts: pa.Table, groups: Numbers, on: Square
) -> dict[str, tuple[float, float]]:
    """Return the images that stand for those around them, as many of each corpus, with their places."""
    corpora, cells, images = np.unique(groups), _numbers(counts["cell"]), _numbers(counts["images"])
    most = cfg.report.map_pictures // len(corpora)
    chosen: list[tuple[str, int]] = []
    for corpus in corpora:
        mine = np.flatnonzero(groups == corpus)
        kept = mine[grid.spread(cells[mine], images[mine], on.bins, most)]
        chosen += [(counts["group"][place].as_py(), int(cells[place])) for place in kept.tolist()]
    few = arrow.local_frame(spark, chosen, "corpus string, cell int")
    nearest = density.nearest_to_middles(projection, few, on).collect()
    return {row["image_id"]: on.share(row["x"], row["y"]) for row in nearest}


def _neighbours(
    cfg: Config, spark: SparkSession, neighbours: DataFrame, places: Mapping[str, object]
) -> tuple[Row, ...]:
    if not places or not cfg.report.map_neighbours:
        return ()
    chosen = arrow.local_frame(spark, [(image_id,) for image_id in sorted(places)], "image_id string")
    near = gallery.nearest_either_way(neighbours, chosen, cfg.report.map_neighbours)
    return tuple(row.asDict() for row in near.orderBy("image_id", "rank").collect())


def _as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return texts.cast(pa.int64())


def _numbers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), np.int64)
