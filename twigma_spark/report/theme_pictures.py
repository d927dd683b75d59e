"""The pictures of the themes as a figure: read back from a report, which holds those of each theme."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from PIL import Image

from twigma_spark.report.figures import label

# Pictures of a theme in the figure, and what one takes of its height, in CSS pixels.
ACROSS, ROW = 6, 88
SIDE = 0.94  # of a picture, in cells of the figure


@dataclass
class Shown:
    """A picture that the report shows unasked.

    Attributes:
        source: its data URI.
        text: its caption; from outside.
        file: its place in the corpus; from outside.
    """

    source: str
    text: str
    file: str = ""


@dataclass
class ThemePictures:
    """A theme and the pictures that the report shows of it, nearest to the centre first."""

    heading: str = ""
    pictures: list[Shown] = field(default_factory=list)


def read_themes(document: str) -> dict[str, list[ThemePictures]]:
    """Return the themes of each clustering of a report, by the id of their figure; none without a picture."""
    page = _Page()
    page.feed(document)
    page.close()
    return {name: themes for name, themes in page.themes.items() if any(theme.pictures for theme in themes)}


class _Page(HTMLParser):
    """Takes the themes and their pictures out of a report; a hidden picture is left where it is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.themes: dict[str, list[ThemePictures]] = {}
        self._theme: ThemePictures | None = None
        self._shown: Shown | None = None
        self._hidden = False
        self._into = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "article" and (name := attributes.get("data-pictures")):
            self._theme = ThemePictures()
            self.themes.setdefault(name, []).append(self._theme)
        if self._theme is None:
            return
        if tag in ("h3", "figcaption"):
            self._into = tag
        elif tag == "figure":
            self._shown = None
        elif tag == "button":
            self._hidden = "veiled" in (attributes.get("class") or "").split()
            if not self._hidden:
                self._shown = Shown("", attributes.get("data-text") or "")
        elif tag == "img" and self._shown is not None and not self._hidden:
            self._shown.source = attributes.get("src") or ""
            self._theme.pictures.append(self._shown)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._into:
            self._into = ""
        if tag == "article":
            self._theme = None

    def handle_data(self, data: str) -> None:
        if self._theme is None:
            return
        if self._into == "h3":
            self._theme.heading += data
        elif self._into == "figcaption" and self._shown is not None:
            self._shown.file += data.strip()


def chart(themes: list[ThemePictures]) -> dict[str, Any]:
    """Return plotly's data and layout: a row a theme, with its words and its first pictures."""
    images, traces = [], []
    for row, theme in enumerate(themes):
        first = theme.pictures[:ACROSS]
        images += [
            {"source": portable(picture.source), "xref": "x", "yref": "y", "x": place, "y": row, "sizex": SIDE,
             "sizey": SIDE, "xanchor": "center", "yanchor": "middle", "sizing": "contain", "layer": "above"}
            for place, picture in enumerate(first, 1)
        ]  # fmt: skip
        traces.append(
            {"type": "scatter", "mode": "markers", "marker": {"opacity": 0}, "name": label(theme.heading, 200),
             "x": list(range(1, len(first) + 1)), "y": [row] * len(first), "text": [label(p.text) for p in first],
             "customdata": [[label(p.file, 200)] for p in first], "showlegend": False}
        )  # fmt: skip
    bare = {"showgrid": False, "zeroline": False, "showline": False, "ticks": ""}
    layout = {
        "height": ROW * len(themes) + 24,
        "margin": {"l": 80, "r": 8, "t": 12, "b": 12},
        "images": images,
        "xaxis": {**bare, "range": [0.5, ACROSS + 0.5], "showticklabels": False},
        "yaxis": {
            **bare, "range": [len(themes) - 0.5, -0.5], "tickmode": "array", "tickvals": list(range(len(themes))),
            "ticktext": [_lines(theme.heading) for theme in themes],
        },
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def caption(themes: list[ThemePictures]) -> str:
    """Return what is to be seen."""
    shown = sum(len(theme.pictures[:ACROSS]) for theme in themes)
    return (
        f"The {len(themes)} themes with the images nearest to the centre of each, nearest first: typical ones, not a "
        f"random sample; n = {shown} images. What the report hides (NSFW, flagged, safety unknown) is left out."
    )


def portable(source: str) -> str:
    """Return a picture as PNG in a data URI: programs that open SVG do not all know WebP."""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        out = io.BytesIO()
        image.convert("RGB").save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def _lines(heading: str) -> str:
    """Return a heading with a word a line."""
    return "<br>".join(label(part.strip(), 22) for part in heading.split(","))
