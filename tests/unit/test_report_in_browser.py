"""The report in a browser on a phone, a laptop and a large screen, light and dark: nothing is cut off or covered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import FOUND, Page, browser
from report_demo import demo

from twigma_spark.report.render import render

pytestmark = [pytest.mark.slow, pytest.mark.skipif(FOUND is None, reason="there is no Chromium or Chrome")]
SCREENS = {390: 844, 1280: 900, 1920: 1080}
# Of the first screen, what has text, a picture or a control: what of it leaves the window or its own box, and which two
# lie one over the other. The navigation is moved sideways where it is too long, so that only its box counts there.
FIRST = """(() => {
    const seen = [...document.querySelectorAll(
        "h1, .top p, nav > div, .mosaic .tile, .lead > p, .lead summary, .finding p, h2, th, td")]
        .map((element) => ({element, box: element.getBoundingClientRect()}))
        .filter(({element, box}) => box.width && box.top < innerHeight && element.checkVisibility()
            && !element.closest(".wide"));
    const name = ({element}) => `${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 40)}`;
    const out = seen.filter(({box}) => box.left < 0 || box.right > innerWidth + 1);
    const cut = seen.filter(({element}) => element.tagName !== "DIV" && element.tagName !== "BUTTON"
        && (element.scrollWidth > element.clientWidth + 1) && element.clientWidth);
    const over = [];
    seen.forEach((one, i) => seen.slice(i + 1).forEach((other) => {
        const [a, b] = [one.box, other.box];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 1 && !one.element.contains(other.element) && !other.element.contains(one.element))
            over.push(`${name(one)} / ${name(other)}`);
    }));
    return {seen: seen.length, out: out.map(name), cut: cut.map(name), over};
})()"""
# Texts of all charts that leave their chart.
CUT_IN_CHARTS = """[...document.querySelectorAll(".plot")].flatMap((plot) => {
    const box = plot.getBoundingClientRect();
    return [...plot.querySelectorAll("svg text")].filter((text) => {
        const of = text.getBoundingClientRect();
        return of.width && (of.left < box.left - 2 || of.right > box.right + 2
            || of.top < box.top - 2 || of.bottom > box.bottom + 2);
    }).map((text) => `${plot.id}: ${text.textContent}`);
})"""
# Names of panels and of the legend that lie one over the other.
OVER_IN_CHARTS = """[...document.querySelectorAll(".plot")].flatMap((plot) => {
    const texts = [...plot.querySelectorAll(".legendtext, .annotation-text")]
        .map((text) => ({text, box: text.getBoundingClientRect()}));
    return texts.flatMap((one, i) => texts.slice(i + 1).filter(({box}) =>
        Math.min(one.box.right, box.right) - Math.max(one.box.left, box.left) > 1
        && Math.min(one.box.bottom, box.bottom) - Math.max(one.box.top, box.top) > 1
    ).map(({text}) => `${plot.id}: ${one.text.textContent} / ${text.textContent}`));
})"""
# Colours of the bars of intervals.
BARS = """[...new Set([...document.querySelectorAll(".plot .errorbars path")]
    .map((each) => getComputedStyle(each).stroke))]"""
# Height of the bars of the months, of which the names of ten themes leave little.
MONTHS = "document.querySelector('#fig-theme-composition-0 .nsewdrag').getBoundingClientRect().height"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(demo()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module", params=SCREENS)
def page(tab: Page, report: Path, request: pytest.FixtureRequest) -> Page:
    tab.open(report, width=request.param, height=SCREENS[request.param])
    return tab


def switch(page: Page, scheme: str) -> None:
    """Let the reader prefer a light or a dark page."""
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.frames()


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(251, 250, 248)"), ("dark", "rgb(21, 23, 26)")])
def test_nothing_is_cut_off_or_covered(page: Page, scheme: str, ground: str) -> None:
    switch(page, scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert window in SCREENS and width == window
    found = page.evaluate(FIRST)
    assert found["seen"] > 8
    assert (found["out"], found["cut"], found["over"]) == ([], [], [])
    assert (page.evaluate(CUT_IN_CHARTS), page.evaluate(OVER_IN_CHARTS)) == ([], [])
    assert page.errors == []


def test_intervals_are_seen_on_dark_ground(page: Page) -> None:
    """Plotly's own colour of error bars is made for white paper."""
    switch(page, "dark")
    strokes = page.evaluate(BARS)
    assert strokes
    assert [stroke for stroke in strokes if sum(map(int, re.findall(r"\d+", stroke)[:3])) < 250] == []


def test_why_a_picture_is_hidden_is_white_on_its_veil(page: Page) -> None:
    colours = "[...document.querySelectorAll('.veiled .why, .veiled .why b')].map((one) => getComputedStyle(one).color)"
    assert set(page.evaluate(colours)) == {"rgb(255, 255, 255)"}


def test_charts_are_drawn_again_where_the_window_becomes_narrow(tab: Page, report: Path) -> None:
    tab.open(report, width=1280)
    lines = "document.querySelectorAll('#fig-duplicates .xtitle tspan').length"
    assert tab.evaluate(lines) == 0
    tab.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    tab.frames()
    assert tab.evaluate(lines) > 1
    assert tab.evaluate(MONTHS) > 200
    assert tab.evaluate(CUT_IN_CHARTS) == []
