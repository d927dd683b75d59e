"""The map in the report: every image is counted, by corpus and by date."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from report_demo import demo

from twigma_spark.report.data import CorpusSummary, MapCell
from twigma_spark.report.sections import projection

CELLS = (
    MapCell("posts", 0.0, 1.0, 3, 2, 2022.0),
    MapCell("posts", 1.0, 1.0, 1, 0, None),
    MapCell("more", 0.0, 1.0, 9, 2, 2023.0),
    MapCell("art", 0.0, 1.0, 40, 1, 1900.0),
)


def test_both_maps_count_all_images() -> None:
    more = CorpusSummary("more", "posts", 9, 9)
    data = replace(demo(), cells=CELLS, corpora=(*demo().corpora, more))
    names = [c.name for c in data.corpora]
    assert {"posts", "art"} <= set(names)
    corpus, date = projection.by_corpus(data), projection.by_date(data)
    dots = {trace["name"]: trace for trace in json.loads(corpus.json)["data"]}
    assert dots["posts"]["customdata"] == [["3 images"], ["1 image"]]
    assert dots["art"]["customdata"] == [["40 images"]]
    assert dots["art"]["marker"]["size"] == [projection.LARGE] and min(dots["posts"]["marker"]["size"]) == 3.0
    assert "posts 4" in corpus.caption and "art 40" in corpus.caption
    (trace,) = json.loads(date.json)["data"]
    assert trace["marker"]["color"] == [2022.5] and "n = 4" in date.caption


def test_without_cells_or_dates_there_is_less_to_draw() -> None:
    assert projection.context(replace(demo(), cells=()))["charts"] == []
    undated = replace(demo(), cells=(MapCell("posts", 0.0, 0.0, 2),))
    charts = projection.context(undated)["charts"]
    assert isinstance(charts, list) and len(charts) == 2


def test_a_contour_holds_its_share_of_the_images() -> None:
    """Of a bell of 2,000 images, the line of half of them is at 1.18 deviations, that of nine tenths at 2.15."""
    rng = np.random.default_rng(0)
    places, counts = np.unique(np.round(rng.normal(size=(2000, 2)), 1), axis=0, return_counts=True)
    cells = tuple(MapCell("posts", float(x), float(y), int(n)) for (x, y), n in zip(places, counts, strict=True))
    found = projection.densities(replace(demo(), cells=cells))
    traces = json.loads(found.json)["data"]
    assert [trace["showlegend"] for trace in traces] == [True, False] and "posts 2,000" in found.caption
    for trace, radius in zip(traces, (1.18, 2.15), strict=True):
        x, y, z = (np.array(_values(trace[axis])) for axis in "xyz")
        inside = z.reshape(len(y), len(x)) > 1
        area = inside.sum() * (x[1] - x[0]) * (y[1] - y[0])
        assert (area / np.pi) ** 0.5 == pytest.approx(radius, rel=0.12)


def _values(column: object) -> object:
    """Return a column of a trace, which plotly writes as a list or as base64 text."""
    if not isinstance(column, dict):
        return column
    return np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])
