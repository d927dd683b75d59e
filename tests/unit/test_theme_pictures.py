"""The pictures of the themes, read back from a report: none that it hides, as they were, in their order."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image
from report_demo import demo, picture

from twigma_spark.report.data import ThemeSummary
from twigma_spark.report.print_figures import printable
from twigma_spark.report.render import render
from twigma_spark.report.saved_figures import SavedFigure, data_rows, read_figures
from twigma_spark.report.theme_pictures import ACROSS, portable, read_themes

HOSTILE = "</h3><img src=x> & <b>"


def document(*themes: ThemeSummary) -> str:
    """Return a report of some themes and of nothing else that has pictures."""
    bare = replace(demo(), themes=themes, image_map=None)
    return render(bare)


def theme(cluster: int, *pictures: object, words: tuple[tuple[str, float], ...] = ()) -> ThemeSummary:
    return ThemeSummary("themes", cluster, 9, words=words, pictures=pictures)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def figure() -> SavedFigure:
    """One theme with seven pictures of which two are hidden and one cannot be drawn, and one that shows none."""
    shown = [picture(n) for n in range(4)]
    hidden = [picture(10, score=0.99), picture(11, score=None, sensitive=True)]
    undrawn = replace(picture(12), thumbnail=None)
    named = replace(shown[0], text=HOSTILE, file="a/<&>.webp")
    first = theme(0, named, hidden[0], undrawn, *shown[1:], hidden[1], words=((HOSTILE, 0.5),))
    found = {each.id: each for each in read_figures(document(first, theme(1, hidden[0])))}
    return found["fig-theme-pictures-0"]


def test_hidden_pictures_are_left_out_and_the_others_keep_their_order(figure: SavedFigure) -> None:
    names, rows = data_rows(figure.chart)
    assert names == ["trace", "x", "y", "text", "note"]
    heading = f"0 · {HOSTILE}"
    assert rows == [
        [heading, 1, 0, HOSTILE, "a/<&>.webp"],
        *([heading, n + 1, 0, picture(n).text, f"posts/drawing {n}.webp"] for n in (1, 2, 3)),
    ]
    images = figure.chart["layout"]["images"]
    assert [(each["x"], each["y"]) for each in images] == [(1, 0), (2, 0), (3, 0), (4, 0)]
    for number, each in enumerate(images):
        drawn = Image.open(io.BytesIO(base64.b64decode(each["source"].partition(",")[2])))
        expected = Image.open(io.BytesIO(picture(number).thumbnail or b"")).convert("RGB")
        assert (drawn.format, drawn.tobytes()) == ("PNG", expected.tobytes())
    assert "n = 4 images" in figure.caption and "The 2 themes" in figure.caption


def test_labels_show_hostile_words_literally(figure: SavedFigure) -> None:
    (label, _) = figure.chart["layout"]["yaxis"]["ticktext"]
    assert "<img" not in label and "&lt;" in label
    assert printable(figure.chart)["layout"]["margin"] == {"l": 80, "r": 8, "t": 12, "b": 12}


def test_a_row_has_a_few_pictures_and_the_height_follows_the_themes() -> None:
    many = [theme(n, *[picture(20 * n + i) for i in range(ACROSS + 3)]) for n in range(3)]
    (found,) = (each for each in read_figures(document(*many)) if each.id == "fig-theme-pictures-0")
    assert len(found.chart["layout"]["images"]) == 3 * ACROSS
    assert found.chart["layout"]["height"] > 3 * 80


def test_themes_without_a_picture_to_show_make_no_figure() -> None:
    assert read_themes(document(theme(0, picture(1, score=0.99)))) == {}
    assert read_themes("<article><img src=x></article>") == {}


def test_a_picture_becomes_one_that_every_program_opens() -> None:
    source = f"data:image/webp;base64,{base64.b64encode(picture(3).thumbnail or b'').decode()}"
    assert portable(source).startswith("data:image/png;base64,iVBOR")
