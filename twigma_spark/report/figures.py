"""Charts as data: plotly figures without a theme; page.js adds the colours of light and dark."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from twigma_spark.results import Result

# Each stands out from light and from dark ground by 3 : 1, as WCAG 2.2 asks of graphics (success criterion 1.4.11).
PALETTE = (
    "#d9712c", "#4f83b9", "#4a9a72", "#9a72b8", "#b08a22",
    "#c4545e", "#3f96a6", "#8d7761", "#b56a95", "#7f8b99",
)  # fmt: skip
# What the bytes of a picture begin with.
MAGIC = {b"RIFF": "webp", b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}


@dataclass(frozen=True)
class Figure:
    """A chart on the page.

    Attributes:
        id: of its element; unique on the page.
        json: traces and layout, safe inside a script element.
        height: in CSS pixels.
        caption: what is to be seen, with unit and n.
    """

    id: str
    json: Markup
    height: int
    caption: str


def figure(name: str, traces: Sequence[Any], layout: dict[str, Any], caption: str) -> Figure:
    """Return a chart of plotly traces; `layout` needs a height."""
    fig = go.Figure(data=list(traces), layout=layout).to_dict()
    fig["layout"].pop("template", None)  # 7 kB of plotly's own colours a chart
    return Figure(name, script_json(fig), int(layout["height"]), caption)


def script_json(value: object) -> Markup:
    """Return JSON that cannot end the script element around it.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped above; ASCII only, so no U+2028 either


def error_bars(rows: Sequence[Result]) -> dict[str, list[float]]:
    """Return plotly's bars from each estimate to the ends of its interval; of length 0 where it has none."""
    values = [r.estimate or 0.0 for r in rows]
    return {
        "array": [(r.high if r.high is not None else v) - v for v, r in zip(values, rows, strict=True)],
        "arrayminus": [v - (r.low if r.low is not None else v) for v, r in zip(values, rows, strict=True)],
    }


def ridge(x: Sequence[float], base: float, heights: Sequence[float], **curve: Any) -> list[go.Scatter]:
    """Return a base line that is not drawn and a filled curve above it, for one ridge of several.

    Args:
        x: places.
        base: where the ridge stands.
        heights: of the curve above the base, at each place.
        curve: name, line, texts and whatever else the curve has.
    """
    y = [round(base + height, 5) for height in heights]
    return [
        go.Scatter(x=x, y=[base] * len(x), mode="lines", line={"width": 0}, hoverinfo="skip"),
        go.Scatter(x=x, y=y, mode="lines", fill="tonexty", **curve),
    ]


def marks(events: Sequence[tuple[str, date]], first: str, last: str) -> dict[str, Any]:
    """Return the layout of vertical lines with names at events from the first to the last month (``YYYY-MM``)."""
    shown = [(name, day) for name, day in events if first <= day.isoformat()[:7] <= last]
    line = {"color": "#8a8a8a", "width": 1, "dash": "dot"}
    return {
        "shapes": [
            {"type": "line", "x0": day.isoformat(), "x1": day.isoformat(), "yref": "paper", "y0": 0, "y1": 1,
             "line": line}
            for _, day in shown
        ],
        "annotations": [
            {"x": day.isoformat(), "yref": "paper", "y": 1, "yanchor": "top", "xanchor": "right", "textangle": -90,
             "text": label(name), "showarrow": False, "font": {"size": 10}}
            for name, day in shown
        ],
    }  # fmt: skip


def label(text: str, width: int = 60) -> str:
    """Return text from outside as plotly shows it literally: its own little HTML is escaped."""
    short = text if len(text) <= width else text[: width - 1] + "…"
    return html.escape(short, quote=False)


def colour(index: int) -> str:
    """Return a colour that can be distinguished from its neighbours on light and on dark ground."""
    return PALETTE[index % len(PALETTE)]


def data_uri(content: bytes | None) -> str:
    """Return an image file as a data URI; empty for anything that is not WebP, JPEG or PNG."""
    kind = next((k for magic, k in MAGIC.items() if content and content.startswith(magic)), None)
    if content is None or kind is None:
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
