"""Charts read back from a report, their names, captions and data."""

from __future__ import annotations

import csv
import io

import numpy as np
import plotly.graph_objects as go
import pytest
from report_demo import demo

from twigma_spark.report.figures import error_bars, figure
from twigma_spark.report.print_figures import csv_text, describe, missing, printable
from twigma_spark.report.render import render
from twigma_spark.report.saved_figures import NEEDED, OF_THE_PAPER, SavedFigure, data_rows, print_caption, read_figures
from twigma_spark.results import Result, Value


@pytest.fixture(scope="module")
def figures() -> dict[str, SavedFigure]:
    return {each.id: each for each in read_figures(render(demo()))}


def chart_of(*traces: object) -> dict[str, object]:
    return {"data": go.Figure(list(traces)).to_dict()["data"], "layout": {}}


def table(chart: dict[str, object]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(chart))))


def test_every_chart_of_a_report_is_known_and_has_a_caption(figures: dict[str, SavedFigure]) -> None:
    assert set(figures) == set(NEEDED)
    assert set(OF_THE_PAPER) <= set(NEEDED)
    assert all(each.caption and each.chart["data"] for each in figures.values())
    assert len({each.name for each in figures.values()}) == len(figures)
    assert (figures["fig-kl"].name, figures["fig-kl-kt"].name) == ("figure-2c-kl", "kl-kt")


def test_a_chart_is_read_as_it_was_drawn(figures: dict[str, SavedFigure]) -> None:
    hostile = figure("fig-x", [go.Bar(x=["</script>"], y=[1])], {"height": 100}, "a <b> & c")
    page = (
        f'<figure><script type="application/json" data-figure="fig-x">{hostile.json}</script>'
        "<figcaption>a &lt;b&gt; &amp; c</figcaption></figure><figure><figcaption>another</figcaption></figure>"
    )
    (read,) = read_figures(page)
    assert read.chart["data"][0]["x"] == ["</script>"]
    assert read.caption == "a <b> & c"


def test_a_caption_for_print_gives_no_advice_for_the_screen(figures: dict[str, SavedFigure]) -> None:
    captions = [print_caption(each) for each in figures.values()]
    assert not [text for text in captions if "Point at" in text or "click" in text]
    months = print_caption(figures["fig-theme-months-0"])
    assert "dated images in" in months and "Pale points are of months" in months
    assert print_caption(SavedFigure("fig-x", "n = 3. Point at a cell for its interval.", {})) == "n = 3."


def test_points_have_their_intervals_and_notes() -> None:
    rows = [
        Result("a", "m", {}, Value(0.5, 0.25, 1.0, 3, "images", "")),
        Result("a", "m", {}, Value(2.0, None, None, 3, "images", "")),
    ]
    points = go.Scatter(
        x=[r.estimate for r in rows], y=["=f", "b"], error_x=error_bars(rows), name="p &amp; q",
        customdata=[["95%", "n = <b>3</b>"], ["", ""]],
    )  # fmt: skip
    skipped = go.Scatter(x=[1], y=[1], hoverinfo="skip")
    assert table(chart_of(points, skipped)) == [
        {"trace": "p & q", "x": "0.5", "y": "'=f", "low": "0.25", "high": "1.0", "note": "95%; n = 3"},
        {"trace": "p & q", "x": "2.0", "y": "b", "low": "2.0", "high": "2.0", "note": ""},
    ]


def test_a_grid_has_a_row_a_cell_and_numpy_arrays_are_read() -> None:
    trace = go.Contour(x=np.array([1.0, 2.0]), y=np.array([5.0]), z=np.array([[0.25, 0.5]]), hoverinfo="skip")
    assert isinstance(chart_of(trace)["data"][0]["z"], dict)  # type: ignore[index]
    assert data_rows(chart_of(trace)) == (["x", "y", "z"], [[1.0, 5.0, 0.25], [2.0, 5.0, 0.5]])
    heat = go.Heatmap(x=["a", "b"], y=["c", "d"], z=[[None, 2], [9, 1]], text=[["–", "2<br>3"], ["∞", "1"]])
    assert table(chart_of(heat)) == [
        {"x": "a", "y": "c", "z": "", "text": "–"}, {"x": "b", "y": "c", "z": "2", "text": "2 3"},
        {"x": "a", "y": "d", "z": "inf", "text": "∞"}, {"x": "b", "y": "d", "z": "1", "text": "1"},
    ]  # fmt: skip


def test_the_data_of_every_chart_of_a_report_can_be_written(figures: dict[str, SavedFigure]) -> None:
    sizes = {each.name: len(table(dict(each.chart))) for each in figures.values()}
    assert min(sizes.values()) > 0
    kl = table(dict(figures["fig-kl"].chart))
    corpora = len({row["x"] for row in kl})
    assert len(kl) == corpora**2 and any("nats" in row["note"] for row in kl)


def test_a_chart_for_print_has_the_size_and_style_of_all(figures: dict[str, SavedFigure]) -> None:
    for each in figures.values():
        layout = printable(each.chart)["layout"]
        assert (layout["width"], layout["height"]) == (680, each.chart["layout"]["height"])
        assert layout["paper_bgcolor"] == "white" and "width" not in each.chart["layout"]
    heat = printable(figures["fig-kl"].chart)["data"][0]
    assert heat["colorscale"][0] == [0, "#f3efe8"]


def test_what_is_not_there_is_said_with_what_it_needs(figures: dict[str, SavedFigure]) -> None:
    some = [figures["fig-kl"], figures["fig-grid"]]
    absent = missing(some)
    assert len(absent) == len(NEEDED) - 2
    assert "figure-2d-likes is not there: it needs posts with likes and a reference corpus (stage likes)" in absent
    text = describe([SavedFigure("fig-grid", "b*", {}), SavedFigure("fig-kl", "a", {})], absent[:1])
    assert text == (
        "# Figures\n\n**figure-2c-kl.** a\n\n**grid.** b\\*\n\n## Not there\n\n"
        "- figure-1b-activity is not there: it needs posts with dates (stage trends)\n"
    )
