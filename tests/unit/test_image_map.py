"""The map's periods, coarse cells, and what the page is given."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from report_demo import demo, picture

from twigma_spark.report import grid
from twigma_spark.report.data import ImageMap, MapCell, MapLayer, MapPicture, Picture
from twigma_spark.report.map_page import page_map
from twigma_spark.report.sections import projection
from twigma_spark.stages.image_map import coarse_cells, period_name, periods
from twigma_spark.transforms.density import Square

MONTH = 2022 * 12


@pytest.mark.parametrize(("first", "last", "width", "names"), [
    (MONTH + 4, MONTH + 5, 1, ["2022-05", "2022-06"]),
    (MONTH + 1, MONTH + 13, 3, ["2022-01 to 2022-03", *["2022-04 to 2022-06"], *["..."] * 3]),
    (MONTH - 60, MONTH + 11, 6, ["2017-01 to 2017-06", "2017-07 to 2017-12", *["..."] * 10]),
    (MONTH - 600, MONTH, 60, ["1970 to 1974", "1975 to 1979", *["..."] * 9]),
    (MONTH - 96, MONTH + 11, 12, ["2014", "2015", *["..."] * 7]),
])  # fmt: skip
def test_dates_are_put_into_a_dozen_periods_at_most(first: int, last: int, width: int, names: list[str]) -> None:
    start, found = periods(first, last)
    made = [period_name(month, found) for month in range(start, last + 1, found)]
    assert found == width and len(made) == len(names) <= 12 and start <= first < start + found
    assert [name for name in names if name != "..."] == made[: len([name for name in names if name != "..."])]


def test_cells_of_the_figures_are_sums_with_the_mean_of_the_dates() -> None:
    columns = {"cell": [0, 1, 128, 255], "images": [3, 1, 2, 5], "dated": [2, 1, 0, 0]}
    found = pa.table({**columns, "years": [4040.0, 2023.0, 0.0, 0.0]})
    groups = np.array([0, 0, 1, 0])
    cells = coarse_cells(found, ["posts", "art"], groups, Square(0.0, 10.0, 128.0, 128))
    assert cells == (
        MapCell("posts", 1.0, 11.0, 4, 3, (4040 + 2023) / 3),
        MapCell("posts", 127.0, 11.0, 5, 0, None),
        MapCell("art", 1.0, 11.0, 2, 0, None),
    )


def small_map(*pictures: MapPicture) -> ImageMap:
    counts = grid.count(np.array([5, 5, 300]), np.array([0, 0, 1]), np.array([2, 1, 700]))
    return ImageMap((MapLayer("corpus", ("posts", "art"), 64, counts),), pictures)


def test_the_page_is_given_bytes_and_each_picture_once() -> None:
    one, other = picture(1), picture(2, "art")
    shown = small_map(MapPicture(one, 0.25, 0.5, ((other, 0.87654),)), MapPicture(other, 1.0, 0.0, ((one, 0.87654),)))
    made = page_map(shown, 0.5)
    (layer,) = made["layers"]
    assert (layer["name"], layer["side"]) == ("corpus", 64)
    posts, art = layer["groups"]
    assert [(g["name"], g["images"]) for g in (posts, art)] == [("posts", 3), ("art", 700)]
    assert [base64.b64decode(art[key]) for key in ("cells", "counts")] == [b"\xac\x02", b"\xbc\x05"]
    assert made["pictures"] == [
        {"x": 0.25, "y": 0.5, "group": 0, "shown": 0, "near": [[1, 0.877]]},
        {"x": 1.0, "y": 0.0, "group": 1, "shown": 1, "near": [[0, 0.877]]},
    ]
    assert [each["text"] for each in made["shown"]] == [one.text, other.text]


def test_a_hidden_picture_is_not_in_the_page_for_the_map() -> None:
    webp = b"RIFF....WEBP"
    pictures = (
        Picture("fine", "posts", "a <b> boat", webp, score=0.1),
        Picture("nude", "posts", "words", webp, score=0.9),
        Picture("unknown", "art", "words", webp),
        Picture("broken", "posts", "words", None, score=0.1),
    )
    near = ((pictures[1], 0.9), (pictures[3], 0.8))
    data = replace(demo(), image_map=small_map(*[MapPicture(each, 0.5, 0.5, near) for each in pictures]))
    text = str(projection.context(data)["map"])
    fine, nude, broken, unknown = json.loads(text)["shown"]
    assert fine["src"].startswith("data:image/webp;base64,") and fine["text"] == "a <b> boat"
    assert nude == {"src": "", "text": "", "corpus": "posts", "why": "hidden: NSFW score 0.90"}
    assert unknown == {"src": "", "text": "", "corpus": "art", "why": "hidden: safety unknown"}
    assert (broken["src"], broken["why"], broken["text"]) == ("", "cannot be drawn", "words")
    assert "<" not in text
