"""The report for everybody: contrast of its colours, names for what has no text, headings; axe-core where it is.

axe-core is that of the package axe-core-python, which is no requirement: `pip install axe-core-python` runs that test.
"""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from browser import FOUND, browser
from report_demo import demo

from twigma_spark.report import render as rendering
from twigma_spark.report.figures import PALETTE
from twigma_spark.report.map_page import TIMES
from twigma_spark.report.render import environment, render, source

TEXT, GRAPHICS = 4.5, 3.0  # least contrasts of WCAG 2.2 AA, success criteria 1.4.3 and 1.4.11
AXE = importlib.util.find_spec("axe_core_python")
RUN = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
    violations.map((each) => [each.id, ...each.nodes.map((node) => node.html.slice(0, 200))]))"""


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of #rrggbb or #rgb."""
    digits = colour.lstrip("#")
    parts = [digits[i] * 2 for i in range(3)] if len(digits) == 3 else [digits[i : i + 2] for i in (0, 2, 4)]
    red, green, blue = (
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (int(part, 16) / 255 for part in parts)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def schemes() -> list[dict[str, str]]:
    """Return the colours of the light and of the dark page, by name."""
    style = source(environment(), "page.css")
    return [dict(re.findall(r"--([\w-]+):(#\w+)", block)) for block in re.findall(r":root\{(.*?)\}", style)]


class Elements(HTMLParser):
    """Tags with attributes, the levels of headings, and buttons and links with their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.controls: list[list[str]] = []
        self._open: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.all.append((tag, given))
        named = [given.get("aria-label") or ""]
        if tag in ("a", "button", "summary"):
            self._open.append(named)
            self.controls.append(named)
        elif tag == "img" and self._open:
            self._open[-1].append(given.get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("a", "button", "summary") and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for named in self._open:
            named.append(data.strip())

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.all if tag in tags]


@pytest.fixture(scope="module")
def page() -> Elements:
    return Elements(render(demo()))


def test_contrast_of_known_pairs_is_that_of_the_definition() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.005)  # the palest grey that passes on white


@pytest.mark.parametrize("dark", [False, True])
def test_letters_and_colours_stand_out(dark: bool) -> None:
    scheme = schemes()[dark]
    for ground in ("bg", "card", "note"):
        for ink in ("ink", "quiet", "accent", "alarm"):
            assert contrast(scheme[ink], scheme[ground]) >= TEXT, (ink, ground)
    for colour in (*PALETTE, *TIMES):
        assert min(contrast(colour, scheme[ground]) for ground in ("bg", "card")) >= GRAPHICS, colour


def test_later_dates_are_lighter_so_that_order_is_seen_without_hue() -> None:
    levels = [luminance(colour) for colour in TIMES]
    assert levels == sorted(levels) and all(b - a > 0.01 for a, b in pairwise(levels))


def test_everything_without_text_has_a_name(page: Elements) -> None:
    assert page.of("html")[0]["lang"] == "en"
    assert all("alt" in attrs for attrs in page.of("img"))
    assert all("".join(named) for named in page.controls)
    drawn = [attrs for _, attrs in page.all if attrs.get("role") in ("img", "application", "group")]
    assert drawn and all(attrs.get("aria-label") for attrs in drawn)
    ids = [attrs["id"] for _, attrs in page.all if "id" in attrs]
    assert len(ids) == len(set(ids))
    pointed = [v for _, a in page.all for k, v in a.items() if k in ("aria-labelledby", "aria-describedby")]
    assert pointed and set(pointed) <= set(ids)
    assert not [attrs for attrs in page.of("input", "select", "textarea") if not attrs.get("aria-label")]


def test_headings_go_down_one_level_at_a_time(page: Elements) -> None:
    levels = [int(tag[1]) for tag, _ in page.all if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_what_can_be_focused_shows_it() -> None:
    style = source(environment(), "page.css")
    for what in ("button", "summary", "a", ".wide", ".map canvas"):
        assert re.search(rf"(^|[,}}\n]){re.escape(what)}:focus-visible[^{{]*\{{outline:3px", style, re.M), what
    assert "outline:none" not in style.replace(" ", "")


@pytest.mark.skipif(FOUND is None, reason="there is no Chromium or Chrome")
@pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed")
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_fault(dark: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the page without its charts, which plotly takes seconds to draw."""
    monkeypatch.setattr(rendering, "get_plotlyjs", lambda: "window.Plotly = {react() {}};")
    (tmp_path / "report.html").write_text(render(demo()), encoding="utf-8")
    assert AXE is not None and AXE.origin is not None
    script = (Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    with browser() as tab:
        tab.open(tmp_path / "report.html", dark=dark)
        tab.evaluate(script + ";0")
        assert tab.evaluate(RUN) == []
        assert tab.errors == []
