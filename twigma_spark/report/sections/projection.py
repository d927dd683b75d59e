"""The section with the map: all images as densities, by corpus and by date."""

from __future__ import annotations

from collections import defaultdict
from math import log1p

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from twigma_spark.report.data import MapCell, ReportData
from twigma_spark.report.figures import Figure, colour, figure, label, script_json
from twigma_spark.report.map_page import page_map
from twigma_spark.report.numbers import count
from twigma_spark.report.section import ReportSection

ANALYSIS = "projection"
METRICS = ("trustworthiness", "continuity", "drift")
# Diameters in pixels of a cell with one image and of the fullest one.
SMALL, LARGE = 3.0, 11.0
# Of the densities: cells of a side, the kernel's deviation in cells, and the shares that lines hold with their widths.
GRID, KERNEL = 48, 1.4
HELD = {0.5: 2.6, 0.9: 1.1}
PLAIN = {"showgrid": False, "ticks": "", "zeroline": False, "showticklabels": False, "title": {"text": ""}}


def context(data: ReportData) -> dict[str, object]:
    """Return both maps and statistics of their quality."""
    charts = [by_corpus(data), densities(data)] if data.cells else []
    charts += [by_date(data)] if any(cell.dated for cell in _posts(data)) else []
    rows = [(metric, row) for metric in METRICS for row in data.select(ANALYSIS, metric)]
    shown = script_json(page_map(data.image_map, data.nsfw_threshold)) if data.image_map else ""
    return {"charts": charts, "rows": rows, "map": shown, "map_caption": _map_caption(data)}


def _map_caption(data: ReportData) -> str:
    """Return what the map shows, with n."""
    if data.image_map is None:
        return ""
    images = int(data.image_map.layers[0].counts.images.sum())
    pictures = len(data.image_map.pictures)
    stand = f"; {count(pictures)} pictures stand for them, spread over where they are" if pictures else ""
    return (
        f"All {count(images)} kept images, counted in a grid of {data.image_map.layers[0].side} cells a side: the more "
        f"there are, the stronger the colour, and mixed colours are mixed cells{stand}."
    )


def by_corpus(data: ReportData) -> Figure:
    """Return a dot for each corpus in each cell of the grid, larger where more images are."""
    names = [c.name for c in data.corpora if any(cell.corpus == c.name for cell in data.cells)]
    top = max(cell.images for cell in data.cells)
    traces = [_dots([c for c in data.cells if c.corpus == name], name, n, top) for n, name in enumerate(names)]
    sizes = ", ".join(f"{name} {count(sum(c.images for c in data.cells if c.corpus == name))}" for name in names)
    caption = f"All kept images, by corpus: a dot is what a corpus has in one cell of a grid. n images: {sizes}."
    return figure("fig-map-corpus", traces, _layout(), caption)


def densities(data: ReportData) -> Figure:
    """Return contours of the density of each corpus: the smallest areas that hold half and nine tenths of its images.

    A Gaussian kernel of the width of two cells of a grid over the map; the levels are those of highest density regions
    (Hyndman 1996). As Figure 2a of Chen & Zou 2023 (TWIGMA), which shows kernel densities.
    """
    names = [c.name for c in data.corpora if any(cell.corpus == c.name for cell in data.cells)]
    x, y = (np.array([getattr(cell, axis) for cell in data.cells]) for axis in "xy")
    edges = [_edges(values) for values in (x, y)]
    traces = []
    for place, name in enumerate(names):
        mine = [i for i, cell in enumerate(data.cells) if cell.corpus == name]
        weights = [data.cells[i].images for i in mine]
        table, _ = np.histogramdd((x[mine], y[mine]), bins=edges, weights=weights)
        smooth = gaussian_filter(table / table.sum(), KERNEL, mode="constant")
        traces += _contours(name, smooth.T, [(e[:-1] + e[1:]) / 2 for e in edges], place)
    sizes = ", ".join(f"{name} {count(sum(c.images for c in data.cells if c.corpus == name))}" for name in names)
    caption = (
        "The same map as densities: for each corpus the smallest areas that hold half (thick line) and nine tenths "
        f"(thin line) of its images; Gaussian kernel, grid of {GRID} by {GRID}. n images: {sizes}."
    )
    return figure("fig-map-density", traces, _layout(), caption)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of a grid over values, with room for the kernel around them."""
    low, high = float(values.min()), float(values.max())
    room = 3 * KERNEL / GRID * ((high - low) or 1.0)
    return np.linspace(low - room, high + room, GRID + 1)


def _contours(
    name: str, density: NDArray[np.float64], middles: list[NDArray[np.float64]], place: int
) -> list[go.Contour]:
    """Return a line around the areas of highest density that hold each share of HELD."""
    falling = np.sort(density.ravel())[::-1]
    within = np.cumsum(falling)
    lines = []
    for share, width in HELD.items():
        level = float(falling[int(np.searchsorted(within, share * within[-1]))])
        lines.append(
            go.Contour(
                x=np.round(middles[0], 3),
                y=np.round(middles[1], 3),
                # In units of the level, so that few digits do.
                z=np.round(density / level, 3),
                name=label(name),
                legendgroup=name,
                showlegend=width == max(HELD.values()),
                contours={"type": "constraint", "operation": "=", "value": 1, "showlabels": False},
                line={"color": colour(place), "width": width},
                hoverinfo="skip",
            )
        )
    return lines


def by_date(data: ReportData) -> Figure:
    """Return the mean date of each cell of the grid, of the posts alone: works of art are centuries older."""
    sums: dict[tuple[float, float], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for cell in _posts(data):
        if cell.year is not None:
            dated, total = sums[cell.x, cell.y]
            sums[cell.x, cell.y] = (dated + cell.dated, total + cell.dated * cell.year)
    top, years = max(n for n, _ in sums.values()), {place: total / n for place, (n, total) in sums.items()}
    trace = go.Scatter(
        x=[round(x, 4) for x, _ in sums],
        y=[round(y, 4) for _, y in sums],
        customdata=[[count(n), f"{years[place]:.1f}"] for place, (n, _) in sums.items()],
        mode="markers",
        marker={
            "color": [round(year, 2) for year in years.values()], "colorscale": "Viridis", "showscale": True,
            "size": [_size(n, top) for n, _ in sums.values()],
            "colorbar": {"title": {"text": "year"}, "dtick": 1, "tickformat": "d"},
        },
        hovertemplate="%{customdata[0]} images, mean date %{customdata[1]}<extra></extra>",
    )  # fmt: skip
    n = sum(dated for dated, _ in sums.values())
    caption = f"The posts on the same map: the mean date of each cell. n = {count(n)} images with a date."
    return figure("fig-map-date", [trace], _layout(), caption)


def _posts(data: ReportData) -> list[MapCell]:
    names = data.of_role("posts")
    return [cell for cell in data.cells if cell.corpus in names]


def _dots(cells: list[MapCell], name: str, place: int, top: int) -> go.Scatter:
    return go.Scatter(
        x=[round(cell.x, 4) for cell in cells],
        y=[round(cell.y, 4) for cell in cells],
        customdata=[[_count_images(cell.images)] for cell in cells],
        name=label(name),
        mode="markers",
        marker={"color": colour(place), "opacity": 0.7, "size": [_size(cell.images, top) for cell in cells]},
        hovertemplate="%{customdata[0]}",
    )


def _count_images(images: int) -> str:
    return f"{count(images)} image{'' if images == 1 else 's'}"


def _size(images: int, top: int) -> float:
    return round(SMALL + (LARGE - SMALL) * log1p(images - 1) / max(log1p(top - 1), 1e-9), 1)


def _layout() -> dict[str, object]:
    legend = {"itemsizing": "constant"}
    return {
        "height": 560, "xaxis": PLAIN, "yaxis": {**PLAIN, "scaleanchor": "x"}, "hovermode": "closest", "legend": legend,
    }  # fmt: skip


SECTION = ReportSection("projection", "Map of all images", context)
