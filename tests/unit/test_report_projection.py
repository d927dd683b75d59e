"""The map in the report: every image is counted, by corpus and by date."""

from __future__ import annotations

import json
from dataclasses import replace

from report_demo import demo

from twigma_spark.report.build import fullest_cells
from twigma_spark.report.data import CorpusSummary, MapCell, Picture
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
    assert dots["posts"]["customdata"] == [["3 images", ""], ["1 image", ""]]
    assert dots["art"]["customdata"] == [["40 images", ""]]
    assert dots["art"]["marker"]["size"] == [projection.LARGE] and min(dots["posts"]["marker"]["size"]) == 3.0
    assert "posts 4" in corpus.caption and "art 40" in corpus.caption
    (trace,) = json.loads(date.json)["data"]
    assert trace["marker"]["color"] == [2022.5] and "n = 4" in date.caption


def test_without_cells_or_dates_there_is_less_to_draw() -> None:
    assert projection.context(replace(demo(), cells=()))["charts"] == []
    undated = replace(demo(), cells=(MapCell("posts", 0.0, 0.0, 2),))
    charts = projection.context(undated)["charts"]
    assert isinstance(charts, list) and len(charts) == 1


def test_a_hidden_picture_is_not_in_the_page_for_the_map() -> None:
    webp = b"RIFF....WEBP"
    pictures = {
        "fine": Picture("fine", "posts", "a <b> boat", webp, score=0.1),
        "nude": Picture("nude", "posts", "words", webp, score=0.9),
        "unknown": Picture("unknown", "posts", "words", webp),
        "broken": Picture("broken", "posts", "words", None, score=0.1),
    }
    context = projection.context(replace(demo(), cells=CELLS, map_pictures=pictures))
    shown = json.loads(str(context["pictures"]))
    assert set(shown) == {"fine", "nude", "unknown"}
    assert shown["fine"]["src"].startswith("data:image/webp;base64,") and shown["fine"]["text"] == "a <b> boat"
    assert shown["nude"] == {"src": "", "text": "hidden: NSFW score 0.90"}
    assert shown["unknown"] == {"src": "", "text": "hidden: safety unknown"}
    assert "<" not in str(context["pictures"])


def test_the_fullest_cells_come_first() -> None:
    assert [(cell.corpus, cell.images) for cell in fullest_cells(CELLS, 2)] == [("art", 40), ("more", 9)]
