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
from twigma_spark.report.data import ImageMap, MapCell, MapLayer, MapPicture, Picture, ThemeSummary
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


def count_map(cfg: Config, spark: SparkSession, tables: Frames, corpora: Sequence[str]) -> CountedMap:
    """Return the map; what comes to the driver is bounded by the cells of the grid, not by the images."""
    projection = tables["projection"].where("x IS NOT NULL AND y IS NOT NULL")
    (ends,) = density.bounds(projection).collect()
    if ends["min_x"] is None:
        return CountedMap()
    on = density.square(**ends.asDict(), bins=cfg.report.map_bins)
    found = arrow.collect(density.cells(projection, tables["images"], on))
    names = list(dict.fromkeys([*corpora, *sorted(pc.unique(found["corpus"]).to_pylist())]))
    groups = _numbers(pc.index_in(found["corpus"], pa.array(names)))
    layers = [_layer(cfg, "corpus", names, on, found, groups)]
    layers += _dates(cfg, projection, tables["images"], on)
    layers += _themes(cfg, projection, tables, on)
    places = _stand_ins(found, groups, on, cfg.report.map_pictures)
    near = _neighbours(cfg, spark, tables["neighbours"], places)
    return CountedMap(coarse_cells(found, names, groups, on), tuple(layers), places, near)


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


def coarse_cells(found: pa.Table, names: Sequence[str], groups: Numbers, on: Square) -> tuple[MapCell, ...]:
    """Return the cells of a grid of COARSE cells a side, in order of corpus, then place."""
    side = min(COARSE, on.bins)
    coarse = Square(on.left, on.below, on.width, side)
    keys = groups * side**2 + grid.parents(_numbers(found["cell"]), on.bins, side)
    kept, places = np.unique(keys, return_inverse=True)
    images, dated, years = (
        np.bincount(places, weights=found[name].to_numpy(), minlength=len(kept))
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


def _layer(
    cfg: Config, name: str, names: Sequence[str], on: Square, found: pa.Table, groups: Numbers | None = None
) -> MapLayer:
    """Return the counts of a layer in the finest grid whose entries are few enough."""
    groups = _numbers(found["group"]) if groups is None else groups
    counts = grid.count(_numbers(found["cell"]), groups, _numbers(found["images"]))
    counts, side = grid.bound(counts, on.bins, cfg.report.map_entries)
    return MapLayer(name, tuple(names), side, counts)


def _dates(cfg: Config, projection: DataFrame, images: DataFrame, on: Square) -> list[MapLayer]:
    """Return the images of the posts by date; works of art are centuries older."""
    posts = F.col("corpus").isin(list(cfg.of_role("posts")))
    dated = images.where(posts & F.col("created_at").isNotNull()).select("image_id", _month().alias("month"))
    (ends,) = dated.agg(F.min("month").alias("first"), F.max("month").alias("last")).collect()
    if ends["first"] is None:
        return []
    start, width = periods(ends["first"], ends["last"])
    group = ((F.col("month") - start) / width).cast("int").alias("group")
    found = arrow.collect(density.group_cells(projection, dated.select("image_id", group), on))
    names = [period_name(month, width) for month in range(start, ends["last"] + 1, width)]
    return [_layer(cfg, "date", names, on, found)] if found.num_rows else []


def _month() -> Column:
    return F.year("created_at") * 12 + F.month("created_at") - 1


def _themes(cfg: Config, projection: DataFrame, tables: Frames, on: Square) -> list[MapLayer]:
    clusters = inputs.clustering(tables["clusters"], inputs.theme_clustering(cfg))
    found = arrow.collect(density.group_cells(projection, clusters.withColumnRenamed("cluster", "group"), on))
    if not found.num_rows:
        return []
    names = [str(cluster) for cluster in range(pc.max(found["group"]).as_py() + 1)]
    return [_layer(cfg, "theme", names, on, found)]


def _stand_ins(found: pa.Table, groups: Numbers, on: Square, most: int) -> dict[str, tuple[float, float]]:
    """Return the images that stand for those around them, as many of each corpus, with their places."""
    corpora, cells, images = np.unique(groups), _numbers(found["cell"]), _numbers(found["images"])
    chosen = {}
    for corpus in corpora:
        mine = np.flatnonzero(groups == corpus)
        kept = mine[grid.spread(cells[mine], images[mine], on.bins, most // len(corpora))]
        for row in found.select(["image_id", "x", "y"]).take(kept).to_pylist():
            chosen[row["image_id"]] = on.share(row["x"], row["y"])
    return chosen


def _neighbours(
    cfg: Config, spark: SparkSession, neighbours: DataFrame, places: Mapping[str, object]
) -> tuple[Row, ...]:
    if not places or not cfg.report.map_neighbours:
        return ()
    chosen = arrow.local_frame(spark, [(image_id,) for image_id in sorted(places)], "image_id string")
    near = gallery.nearest_either_way(neighbours, chosen, cfg.report.map_neighbours)
    return tuple(row.asDict() for row in near.orderBy("image_id", "rank").collect())


def _numbers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), np.int64)
