"""The section on themes: sizes, words, months and example pictures of the clusters of the posts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData, Theme
from twigma_spark.report.figures import Figure, colour, figure, label, sparkline
from twigma_spark.report.numbers import WILSON, Share, count, wilson
from twigma_spark.report.section import Finding, Section


@dataclass(frozen=True)
class Card:
    """A theme as it is shown: with its place in the palette and its course as an SVG line."""

    theme: Theme
    colour: str
    share: Share | None
    course: str


@dataclass(frozen=True)
class Change:
    """The share of a theme in the earlier and in the later months."""

    theme: Theme
    early: Share
    late: Share

    @property
    def step(self) -> float:
        """How much the share grew; negative where it fell."""
        return self.late.estimate - self.early.estimate


def groups(data: ReportData) -> list[tuple[Theme, ...]]:
    """Return the themes of each clustering, in order of their number."""
    names = dict.fromkeys(t.clustering for t in data.themes)
    return [tuple(sorted((t for t in data.themes if t.clustering == n), key=lambda t: t.cluster)) for n in names]


def context(data: ReportData) -> dict[str, object]:
    """Return cards and charts of each clustering."""
    return {"groups": [(_cards(themes), _charts(themes, i)) for i, themes in enumerate(groups(data))]}


def _cards(themes: tuple[Theme, ...]) -> list[Card]:
    images, totals = sum(t.size for t in themes), month_totals(themes)
    return [
        Card(t, colour(i), wilson(t.size, images), sparkline([s for _, s in month_shares(t, totals)]))
        for i, t in enumerate(themes)
    ]


def _charts(themes: tuple[Theme, ...], index: int) -> list[Figure]:
    return [sizes(themes, index)] + ([months(themes, index)] if len(month_totals(themes)) > 1 else [])


def month_totals(themes: tuple[Theme, ...]) -> dict[str, int]:
    """Return the images of each month over all themes, in order of time."""
    totals: Counter[str] = Counter()
    for theme in themes:
        totals.update(dict(theme.months))
    return dict(sorted(totals.items()))


def month_shares(theme: Theme, totals: dict[str, int]) -> list[tuple[str, float]]:
    """Return the share of a theme among the images of each month."""
    mine = dict(theme.months)
    return [(month, mine.get(month, 0) / n) for month, n in totals.items() if n]


def sizes(themes: tuple[Theme, ...], index: int) -> Figure:
    """Return bars of the sizes of the themes, each with its words."""
    images = sum(t.size for t in themes)
    trace = go.Bar(
        y=[f"theme {t.cluster}" for t in themes],
        x=[t.size for t in themes],
        orientation="h",
        marker={"color": [colour(i) for i in range(len(themes))]},
        text=[label(", ".join(w for w, _ in t.words[:6]), 70) for t in themes],
        textposition="auto",
        insidetextanchor="start",
        insidetextfont={"color": "#101214"},
        cliponaxis=False,
        customdata=[[str(wilson(t.size, images) or "–"), _weights(t)] for t in themes],
        hovertemplate="<b>%{y}</b>: %{x:,} images, %{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )
    layout = {
        "height": 90 + 34 * len(themes), "showlegend": False, "bargap": 0.25,
        "xaxis": {"title": {"text": "images"}}, "yaxis": {"autorange": "reversed", "type": "category"},
    }  # fmt: skip
    caption = f"Sizes of the {len(themes)} themes with the words that tell them apart; n = {count(images)} images."
    return figure(f"fig-theme-sizes-{index}", [trace], layout, caption)


def months(themes: tuple[Theme, ...], index: int) -> Figure:
    """Return a line a theme: its share among the images of each month."""
    totals = month_totals(themes)
    traces = [_line(theme, totals, i) for i, theme in enumerate(themes)]
    layout = {
        "height": 420,
        "hovermode": "closest",
        "xaxis": {"type": "date", "tickformat": "%b %Y", "showgrid": False},
        "yaxis": {
            "tickformat": ".0%",
            "rangemode": "tozero",
            "title": {"text": "share of the month's images"},
        },
    }
    n = sum(totals.values())
    caption = (
        f"Share of each theme among the images of a month; n = {count(n)} dated images in "
        f"{len(totals)} months. Point at a month for its 95% Wilson interval; click a name to hide its "
        "line, double-click to see it alone."
    )
    return figure(f"fig-theme-months-{index}", traces, layout, caption)


def _line(theme: Theme, totals: dict[str, int], index: int) -> go.Scatter:
    shares = month_shares(theme, totals)
    mine = dict(theme.months)
    return go.Scatter(
        x=[f"{month}-01" for month, _ in shares],
        y=[share for _, share in shares],
        name=label(f"{theme.cluster} · {theme.name}", 40),
        mode="lines",
        line={"color": colour(index), "width": 2.2},
        customdata=[[str(wilson(mine.get(m, 0), totals[m])), count(totals[m])] for m, _ in shares],
        hovertemplate="%{x|%b %Y}: %{customdata[0]} of %{customdata[1]} images",
    )


def findings(data: ReportData) -> list[Finding]:
    """Return the largest theme and those that rose and fell most, where intervals do not overlap."""
    found = [f(themes) for themes in groups(data) for f in (_largest, _rising, _falling)]
    return [f for f in found if f]


def _largest(themes: tuple[Theme, ...]) -> Finding | None:
    images = sum(t.size for t in themes)
    ranked = sorted(themes, key=lambda t: (-t.size, t.cluster))
    shares = [wilson(t.size, images) for t in ranked[:2]]
    if len(shares) < 2 or not (first := shares[0]) or not (second := shares[1]) or first.low <= second.high:
        return None
    names = [t.name for t in ranked]
    return Finding(
        f"The largest theme is “{names[0]}” with {first} of the images, before “{names[1]}” ({second}).",
        f"n = {count(images)} images; {WILSON}; clustering “{ranked[0].clustering}”.",
    )


def changes(themes: tuple[Theme, ...]) -> list[Change]:
    """Return the themes whose share changed from the first to the second half of the months, least first."""
    totals = month_totals(themes)
    order = list(totals)
    halves = set(order[: len(order) // 2]), set(order[len(order) - len(order) // 2 :])
    sizes = [sum(totals[m] for m in half) for half in halves]
    found = []
    for theme in themes:
        shares = [wilson(sum(n for m, n in theme.months if m in h), s) for h, s in zip(halves, sizes, strict=True)]
        if (early := shares[0]) and (late := shares[1]) and (late.low > early.high or late.high < early.low):
            found.append(Change(theme, early, late))
    return sorted(found, key=lambda c: (c.step, c.theme.cluster))


def _rising(themes: tuple[Theme, ...]) -> Finding | None:
    rose = [c for c in changes(themes) if c.step > 0]
    return _moved(rose[-1], "rose", themes) if rose else None


def _falling(themes: tuple[Theme, ...]) -> Finding | None:
    fell = [c for c in changes(themes) if c.step < 0]
    return _moved(fell[0], "fell", themes) if fell else None


def _moved(change: Change, verb: str, themes: tuple[Theme, ...]) -> Finding:
    order = list(month_totals(themes))
    half = len(order) // 2
    span = f"{order[0]} to {order[half - 1]} against {order[-half]} to {order[-1]}"
    return Finding(
        f"“{change.theme.name}” {verb} most: from {change.early} of the images to {change.late}.",
        f"{span}; n = {count(change.early.n)} and {count(change.late.n)} images; {WILSON}.",
    )


def _weights(theme: Theme) -> str:
    return label(", ".join(f"{word} {weight:.2f}" for word, weight in theme.words[:8]), 110) or "no words: no captions"


SECTION = Section("themes", "Themes", context, findings)
