"""The charts of a report that was written: read back from its document, named, and their data as a table."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import product
from typing import Any

import numpy as np

from twigma_spark.report import theme_pictures

# Charts that are figures of Chen & Zou 2023 (TWIGMA), by their id: Figure 1 shows what was collected, 2 how distinct
# the images are, 3 how varied, 4 their themes; a letter is a panel.
OF_THE_PAPER: Mapping[str, str] = {
    "fig-activity": "1b",
    "fig-words": "1c",
    "fig-map-density": "2a",
    "fig-origins-0": "2b",
    "fig-kl": "2c",
    "fig-similarity": "2d",
    "fig-likes": "2d",
    "fig-ridges": "3",
    "fig-prompts": "3",
    "fig-theme-pictures-0": "4a",
    "fig-theme-composition-0": "4b",
}
# What a chart needs that may be absent from a report, for those above and all others; a chart of each clustering ends
# in its number.
NEEDED: Mapping[str, str] = {
    "fig-activity": "posts with dates (stage trends)",
    "fig-words": "posts with texts (stage trends)",
    "fig-map-density": "the map (stage project)",
    "fig-map-corpus": "the map (stage project)",
    "fig-map-date": "the map, and posts with dates (stage project)",
    "fig-kl": "two corpora or more (stage distinctiveness)",
    "fig-kl-kt": "two corpora or more (stage distinctiveness)",
    "fig-grid": "two corpora or more (stage distinctiveness)",
    "fig-origins-0": "a clustering of several corpora (stage cluster)",
    "fig-similarity": "a reference corpus beside the posts (stage neighbours)",
    "fig-copies": "a reference corpus beside the posts (stage neighbours)",
    "fig-likes": "posts with likes and a reference corpus (stage likes)",
    "fig-likes-joint": "posts with likes, authors and a reference corpus (stage likes)",
    "fig-ridges": "a corpus of two images or more (stage variation)",
    "fig-texts": "texts (stage variation)",
    "fig-prompts": "several images of a prompt (stage variation)",
    "fig-theme-pictures-0": "a clustering with themes, and pictures that may be shown (stage cluster)",
    "fig-theme-sizes-0": "a clustering with themes (stage cluster)",
    "fig-theme-composition-0": "a clustering with themes, and dates (stage trends)",
    "fig-theme-months-0": "a clustering with themes, and dates (stage trends)",
    "fig-choice-0": "a choice of the number of clusters (stage cluster)",
    "fig-duplicates": "near-duplicates (stage deduplicate)",
    "fig-nsfw": "NSFW scores (stage score)",
    "fig-nsfw-scores": "NSFW scores (stage score)",
    "fig-reward": "a reward model (stage reward)",
    "fig-reward-strata": "a reward model (stage reward)",
    "fig-reward-calibration": "a reward model (stage reward)",
    "fig-reward-loss": "a reward model (stage reward)",
}
# Advice that only a screen can follow.
POINTING = re.compile(r"\s*Point at [^.;]*(?:;[^.]*)?\.")
MARKUP = re.compile(r"<[^>]*>")
Row = dict[str, Any]


@dataclass(frozen=True)
class SavedFigure:
    """A chart of a report.

    Attributes:
        id: of its element in the report.
        caption: with unit and n.
        chart: plotly's data and layout.
    """

    id: str
    caption: str
    chart: Mapping[str, Any]

    @property
    def number(self) -> str:
        """Its number in the paper; "" where it is none of the paper's."""
        return OF_THE_PAPER.get(self.id, "")

    @property
    def name(self) -> str:
        """Name of its files, without the ending."""
        return file_name(self.id)


def file_name(figure_id: str) -> str:
    """Return the name of a chart's files, without the ending; those of the paper begin with its number."""
    number = OF_THE_PAPER.get(figure_id)
    return (f"figure-{number}-" if number else "") + figure_id.removeprefix("fig-")


def read_figures(document: str) -> list[SavedFigure]:
    """Return the charts of a report in its order, and after them its themes with their pictures."""
    page = _Page()
    page.feed(document)
    page.close()
    charts = [SavedFigure(name, page.captions.get(name, ""), json.loads(text)) for name, text in page.charts.items()]
    themes = theme_pictures.read_themes(document).items()
    return charts + [SavedFigure(n, theme_pictures.caption(each), theme_pictures.chart(each)) for n, each in themes]


class _Page(HTMLParser):
    """Takes charts and captions out of a report."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.charts: dict[str, str] = {}
        self.captions: dict[str, str] = {}
        self._last: str | None = None
        self._into: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("data-figure")
        if tag == "script" and name:
            self._last, self._into = name, self.charts
        elif tag == "figcaption" and self._last:
            self._into = self.captions

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "figcaption"):
            self._into = None
        if tag == "figure":
            self._last = None

    def handle_data(self, data: str) -> None:
        if self._into is not None and self._last is not None:
            self._into[self._last] = self._into.get(self._last, "") + data


def print_caption(figure: SavedFigure) -> str:
    """Return the caption without what only a screen can do."""
    return POINTING.sub("", figure.caption).strip()


def data_rows(chart: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return what is drawn as names and rows: a row a point, or a cell of a grid, with the name of its trace.

    The columns that no row has are left out: trace, x, y, z, low and high (ends of the interval), text (as drawn), and
    note, which the report shows at the pointer.
    """
    rows = [row for trace in chart["data"] if trace.get("hoverinfo") != "skip" or "z" in trace for row in _rows(trace)]
    names = [n for n in ("trace", "x", "y", "z", "low", "high", "text", "note") if any(n in row for row in rows)]
    return names, [[row.get(name) for name in names] for row in rows]


def _rows(trace: Mapping[str, Any]) -> Iterator[Row]:
    named = {"trace": html.unescape(trace["name"])} if trace.get("name") else {}
    x, y = _values(trace.get("x")), _values(trace.get("y"))
    if "z" in trace:
        z, text, note = (_values(trace.get(key)) for key in ("z", "text", "customdata"))
        for (i, row), (j, column) in product(enumerate(y), enumerate(x)):
            words = text[i][j] if text else ""
            # Drawn in the darkest colour, as a number that it is not.
            value = math.inf if isinstance(words, str) and words.startswith("∞") else z[i][j]
            cell = {"x": _plain(column), "y": _plain(row), "z": value}
            yield named | cell | _words("text", words) | _words("note", note[i][j] if note else "")
        return
    text, note = trace.get("text"), _values(trace.get("customdata"))
    ends = _ends(trace, x, y)
    for n, (one, other) in enumerate(zip(x, y, strict=False)):
        words = text[n] if isinstance(text, list) and n < len(text) else ""
        more = _words("text", words) | _words("note", note[n] if n < len(note) else "")
        yield named | {"x": _plain(one), "y": _plain(other)} | (ends[n] if ends else {}) | more


def _ends(trace: Mapping[str, Any], x: Sequence[Any], y: Sequence[Any]) -> list[Row]:
    """Return the ends of the interval of each point; none where the trace has no error bars."""
    for key, middle in (("error_x", x), ("error_y", y)):
        bars = trace.get(key) or {}
        up = _values(bars.get("array"))
        down = _values(bars.get("arrayminus")) or up
        if up:
            return [
                {} if m is None else {"low": m - (b or 0), "high": m + (a or 0)}
                for m, a, b in zip(middle, up, down, strict=False)
            ]
    return []


def _values(value: Any) -> Any:
    """Return a list; plotly holds NumPy's arrays as Base64."""
    if isinstance(value, Mapping) and "bdata" in value:
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]).newbyteorder("<"))
        shape = [int(n) for n in str(value["shape"]).split(",")] if "shape" in value else [-1]
        return flat.reshape(shape).tolist()
    return [] if value is None else value


def _plain(value: Any) -> Any:
    return html.unescape(MARKUP.sub("", value)) if isinstance(value, str) else value


def _words(name: str, value: Any) -> Row:
    """Return a text without markup under its name; nothing where it is empty."""
    parts = value if isinstance(value, list) else [value]
    text = "; ".join(str(_plain(part.replace("<br>", " "))) if isinstance(part, str) else str(part) for part in parts)
    return {name: text} if text.strip("; ") else {}
