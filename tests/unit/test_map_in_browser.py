"""The map in a browser: what it shows under the pointer and for the keyboard, and that it stays smooth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from browser import FOUND, Page, browser
from report_demo import demo

from twigma_spark.report.data import ImageMap
from twigma_spark.report.render import SCRIPTS, environment, source
from twigma_spark.report.sections import projection

pytestmark = pytest.mark.skipif(FOUND is None, reason="there is no Chromium or Chrome")
STATE = """(() => {
    const [canvas, tip] = [document.querySelector("#image-map canvas"), document.querySelector(".map-tip")];
    const box = canvas.getBoundingClientRect();
    return {zoom: Number(canvas.dataset.zoom), drawn: canvas.dataset.drawn, tip: tip.hidden ? "" : tip.textContent,
        src: tip.hidden ? "" : tip.querySelector("img")?.src ?? "",
        panel: document.querySelector(".map-panel").textContent,
        spoken: document.querySelector(".map-spoken").textContent,
        legend: [...document.querySelectorAll(".map-legend button")].map((each) => each.textContent),
        box: [box.left, box.top, box.width, box.height]};
})()"""


def shown() -> ImageMap:
    found = demo().image_map
    assert found is not None
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The section of the map alone, without plotly, which takes seconds to load."""
    file = tmp_path_factory.mktemp("map") / "map.html"
    env = environment()
    context = projection.context(replace(demo(), results=()))
    body = env.get_template("projection.html").render(it={**context, "charts": []}, data=demo())
    style, script = source(env, "page.css"), "".join(source(env, name) for name in SCRIPTS[1:])
    text = f"<!doctype html><meta charset=utf-8><style>{style}</style><body>{body}<script>{script}</script></body>"
    file.write_text(text, encoding="utf-8")
    with browser() as made:
        made.open(file)
        yield made
        assert made.errors == []


@pytest.fixture
def whole(page: Page) -> Page:
    """The page with the whole map, nothing chosen."""
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.querySelector('[data-zoom=whole]').click()")
    page.frames()
    return page


def place_of(page: Page, number: int) -> tuple[float, float]:
    """Return where the whole map has a picture, in the window: the images' part of the square fills 95 % of it."""
    picture, layer = shown().pictures[number], shown().layers[0]
    left, top, width, height = page.evaluate(STATE)["box"]
    x, y = ((layer.counts.cells % layer.side) / layer.side, (layer.counts.cells // layer.side) / layer.side)
    step = 1 / layer.side
    ends = [(float(axis.min()), float(axis.max()) + step) for axis in (x, y)]
    scale = 0.95 * min(width / (ends[0][1] - ends[0][0]), height / (ends[1][1] - ends[1][0]))
    middle = [(a + b) / 2 for a, b in ends]
    return left + width / 2 + (picture.x - middle[0]) * scale, top + height / 2 - (picture.y - middle[1]) * scale


def test_the_picture_under_the_pointer_is_that_of_its_place(whole: Page) -> None:
    """Of pictures of all corpora, the one that lies there is shown, with its text; a hidden one in words."""
    for number in (0, 20, 40):
        picture = shown().pictures[number].picture
        whole.mouse("mouseMoved", *place_of(whole, number))
        found = whole.evaluate(STATE)
        assert picture.text in found["tip"] and picture.corpus in found["tip"] and " here" in found["tip"]
        assert found["src"].startswith("data:image/webp;base64,")
    hidden = next(n for n, each in enumerate(shown().pictures) if each.picture.score == 0.9)
    whole.mouse("mouseMoved", *place_of(whole, hidden))
    found = whole.evaluate(STATE)
    assert "hidden: NSFW score 0.90" in found["tip"] and found["src"] == ""
    assert shown().pictures[hidden].picture.text not in found["tip"]
    left, top, *_ = found["box"]
    whole.mouse("mouseMoved", left + 2, top + 2)
    assert whole.evaluate(STATE)["tip"] == ""


def test_a_click_shows_the_neighbours(whole: Page) -> None:
    whole.click(*place_of(whole, 0))
    found = whole.evaluate(STATE)["panel"]
    assert shown().pictures[0].picture.text in found and "Its nearest neighbours" in found
    assert all(f"{p.corpus} · {s:.3f}{p.text}" in found for p, s in shown().pictures[0].neighbours)


def test_the_wheel_zooms_only_a_map_that_was_clicked_and_keeps_the_place(whole: Page) -> None:
    x, y = place_of(whole, 20)
    whole.mouse("mouseMoved", x, y)
    whole.mouse("mouseWheel", x, y, deltaX=0, deltaY=-50)
    assert whole.evaluate(STATE)["zoom"] == 1
    whole.click(x, y)
    for _ in range(4):
        whole.mouse("mouseWheel", x, y, deltaX=0, deltaY=-60)
    whole.mouse("mouseMoved", x, y)
    found = whole.evaluate(STATE)
    assert found["zoom"] > 2 and shown().pictures[20].picture.text in found["tip"]


def test_the_keyboard_moves_zooms_and_shows_the_picture_in_the_middle(whole: Page) -> None:
    whole.evaluate("document.querySelector('#image-map canvas').focus()")
    whole.key("+")
    whole.key("+")
    found = whole.evaluate(STATE)
    assert found["zoom"] == pytest.approx(2.25) and found["tip"] and found["spoken"] == found["tip"]
    whole.key("Enter")
    assert found["tip"].split(" here")[1] in whole.evaluate(STATE)["panel"]
    for _ in range(3):
        whole.key("ArrowLeft")
    assert whole.evaluate(STATE)["tip"] != found["tip"]
    whole.key("0")
    assert whole.evaluate(STATE)["zoom"] == 1
    whole.key("Escape")
    found = whole.evaluate(STATE)
    assert (found["tip"], found["panel"]) == ("", "")


def test_layers_and_their_groups_are_chosen(whole: Page) -> None:
    for number, layer in enumerate(shown().layers):
        whole.evaluate(f"document.querySelectorAll('.map-layers button')[{number}].click()")
        sizes = [int(layer.counts.images[layer.counts.groups == g].sum()) for g in range(len(layer.groups))]
        assert whole.evaluate(STATE)["legend"] == [f"{a}{n:,}" for a, n in zip(layer.groups, sizes, strict=True)]
    whole.evaluate("document.querySelectorAll('.map-layers button')[0].click()")
    # Only art: a picture of the posts is no longer under the pointer.
    whole.evaluate("document.querySelectorAll('.map-legend button')[3].click()")
    whole.mouse("mouseMoved", *place_of(whole, 0))
    assert shown().pictures[0].picture.text not in whole.evaluate(STATE)["tip"]
    assert len(whole.evaluate("[...document.querySelectorAll('.map-legend [aria-pressed=true]')]")) == 1
    whole.evaluate("document.querySelectorAll('.map-legend button')[3].click()")
