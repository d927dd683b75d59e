"""The section on themes: sizes, words, months and example pictures of the clusters of the posts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.cloud import SizedWord, cloud
from twigma_spark.report.courses import Arrow, Course, arrows, course, strata
from twigma_spark.report.courses import month_shares as clustered_months
from twigma_spark.report.data import ReportData, ThemeSummary
from twigma_spark.report.figures import Figure, colour, figure, label, marks
from twigma_spark.report.numbers import (
    FEW,
    WILSON,
    Share,
    count,
    number,
    percent,
    percent_ends,
    signed_percent,
    wilson,
)
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

# The q-value below which a bend is named.
BENT = 0.05
WORDS = 10  # listed beside a theme; the cloud has all that are kept


@dataclass(frozen=True)
class Card:
    """A theme as it is shown: its place in the palette, the course of its share, its trend and its words."""

    theme: ThemeSummary
    colour: str
    share: Share | None
    course: Course | None
    arrow: Arrow | None
    cloud: tuple[SizedWord, ...]
    bend: str = ""


def groups(data: ReportData) -> list[tuple[ThemeSummary, ...]]:
    """Return the themes of each clustering, in order of their number."""
    names = dict.fromkeys(t.clustering for t in data.themes)
    return [tuple(sorted((t for t in data.themes if t.clustering == n), key=lambda t: t.cluster)) for n in names]


def context(data: ReportData) -> dict[str, object]:
    """Return cards and charts of each clustering; the trends are of the first."""
    clusterings = groups(data)
    first = [t.cluster for t in clusterings[0]] if clusterings else []
    rules = {arrow.rule for arrow in arrows(data).values()}
    return {
        "groups": [(_cards(data, themes, i), _charts(data, themes, i)) for i, themes in enumerate(clusterings)],
        "words": WORDS,
        "strata": strata(data, first),
        "clusters": first,
        "rule": next(iter(rules), ""),
        "unit": _unit(_month_intervals(data, clusterings[0])) if clusterings else "",
    }


def _cards(data: ReportData, themes: tuple[ThemeSummary, ...], index: int) -> list[Card]:
    images = sum(t.size for t in themes)
    moved = arrows(data) if index == 0 else {}
    return [
        Card(
            t,
            colour(i),
            wilson(t.size, images),
            _course(data, t, index),
            moved.get(t.cluster),
            cloud(t.words),
            _bend(data, t, index),
        )
        for i, t in enumerate(themes)
    ]


def _course(data: ReportData, theme: ThemeSummary, index: int) -> Course | None:
    shares = clustered_months(data, theme.cluster) if index == 0 else []
    return course(shares) if len(shares) > 1 else None


def _bend(data: ReportData, theme: ThemeSummary, index: int) -> str:
    """Return from which month on the share moves otherwise, where that is beyond chance."""
    bends = data.select("trends", "change_point", cluster=theme.cluster) if index == 0 else []
    if not bends or bends[0].estimate is None:
        return ""
    bend, month = bends[0], bends[0].labels["month"]
    q = data.get("trends", "change_point_q", cluster=theme.cluster, month=month)
    if q is None or q.estimate is None or q.estimate >= BENT:
        return ""
    size = f"{signed_percent(bend.estimate)} {percent_ends(bend.low, bend.high)}"
    return f"bends in {month}: monthly growth of its odds {size}, q = {number(q.estimate)}"


def _charts(data: ReportData, themes: tuple[ThemeSummary, ...], index: int) -> list[Figure]:
    if len(month_totals(themes)) < 2:
        return [sizes(themes, index)]
    return [sizes(themes, index), composition(themes, index), months(data, themes, index)]


def month_totals(themes: tuple[ThemeSummary, ...]) -> dict[str, int]:
    """Return the images of each month over all themes, in order of time; 0 in a month between that has none."""
    totals: Counter[str] = Counter()
    for theme in themes:
        totals.update(dict(theme.months))
    return {month: totals[month] for month in _span(sorted(totals))}


def _span(months: list[str]) -> list[str]:
    """Return every month from the first to the last, as "YYYY-MM"."""
    if not months:
        return []
    ends = [int(m[:4]) * 12 + int(m[5:7]) - 1 for m in (months[0], months[-1])]
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(ends[0], ends[1] + 1)]


def sizes(themes: tuple[ThemeSummary, ...], index: int) -> Figure:
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


def composition(themes: tuple[ThemeSummary, ...], index: int) -> Figure:
    """Return a bar a month, made of the shares of the themes; none where a month has no images."""
    totals = month_totals(themes)
    traces = [
        go.Bar(
            x=[f"{month}-01" for month in totals],
            y=[dict(theme.months).get(month, 0) / n if n else None for month, n in totals.items()],
            name=label(theme.heading, 40),
            marker={"color": colour(place)},
            customdata=[[dict(theme.months).get(month, 0), n] for month, n in totals.items()],
            hovertemplate="%{x|%b %Y}: %{y:.1%}, %{customdata[0]:,} of %{customdata[1]:,} images",
        )
        for place, theme in enumerate(themes)
    ]
    layout = {
        "height": 420,
        "barmode": "stack",
        "bargap": 0.08,
        "hovermode": "closest",
        "xaxis": {"type": "date", "tickformat": "%b %Y", "showgrid": False},
        "yaxis": {"tickformat": ".0%", "range": [0, 1], "title": {"text": "share of the month's images"}},
    }
    few = sum(1 for n in totals.values() if 0 < n < FEW)
    caption = (
        f"What the images of each month are made of; n = {count(sum(totals.values()))} dated images. "
        f"{few} of the months have fewer than {FEW} images. Intervals are in the next figure."
    )
    return figure(f"fig-theme-composition-{index}", traces, layout, caption)


def months(data: ReportData, themes: tuple[ThemeSummary, ...], index: int) -> Figure:
    """Return a line a theme: its share among the images of each month, open where a month has none."""
    totals = month_totals(themes)
    intervals = _month_intervals(data, themes) if index == 0 else {}
    traces = [_line(theme, totals, intervals, i) for i, theme in enumerate(themes)]
    layout = {
        "height": 420,
        "hovermode": "closest",
        "xaxis": {"type": "date", "tickformat": "%b %Y", "showgrid": False},
        "yaxis": {
            "tickformat": ".0%",
            "rangemode": "tozero",
            "title": {"text": "share of the month's images"},
        },
        **(marks(data.events, next(iter(totals)), next(reversed(totals))) if totals else {}),
    }
    interval = f"95% interval over {_unit(intervals)}" if intervals else WILSON
    caption = (
        f"Share of each theme among the images of a month; n = {count(sum(totals.values()))} dated images in "
        f"{sum(1 for n in totals.values() if n)} months. Point at a month for its {interval}; click a name to hide its "
        f"line, double-click to see it alone. Pale points are of months with fewer "
        f"than {FEW} images. {_moved_words(data, themes, index)}"
    )
    return figure(f"fig-theme-months-{index}", traces, layout, caption)


def _month_intervals(data: ReportData, themes: tuple[ThemeSummary, ...]) -> dict[tuple[int, str], Result]:
    """Return the shares with their intervals by cluster and month."""
    return {
        (theme.cluster, month): share
        for theme in themes
        for month, share in data.by_label("trends", "month_share", "month", cluster=theme.cluster).items()
    }


def _unit(intervals: Mapping[tuple[int, str], Result]) -> str:
    """Return what the intervals count as independent, such as posts."""
    return next((share.unit or "images" for share in intervals.values()), "images")


def _moved_words(data: ReportData, themes: tuple[ThemeSummary, ...], index: int) -> str:
    """Return how many themes rise, fall and hold."""
    signs = Counter(a.sign for cluster, a in arrows(data).items() if cluster in {t.cluster for t in themes})
    if index or not signs:
        return ""
    return f"Of {len(themes)} themes {signs[1]} rise, {signs[-1]} fall and {signs[0]} are steady."


def _line(
    theme: ThemeSummary, totals: dict[str, int], intervals: Mapping[tuple[int, str], Result], index: int
) -> go.Scatter:
    mine = dict(theme.months)
    shares = [mine.get(month, 0) / n if n else None for month, n in totals.items()]
    return go.Scatter(
        x=[f"{month}-01" for month in totals],
        y=shares,
        name=label(theme.heading, 40),
        mode="lines+markers",
        marker={"size": 5, "opacity": [1 if n >= FEW else 0.3 for n in totals.values()]},
        connectgaps=False,
        line={"color": colour(index), "width": 2.2},
        customdata=[
            [_share(theme, mine.get(m, 0), n, intervals.get((theme.cluster, m))), count(n)] for m, n in totals.items()
        ],
        hovertemplate="%{x|%b %Y}: %{customdata[0]} of %{customdata[1]} images",
    )


def _share(theme: ThemeSummary, hits: int, n: int, intervals: Result | None) -> str:
    if intervals is None or intervals.estimate is None:
        return str(wilson(hits, n) or "–")
    return f"{percent(intervals.estimate)} [{percent(intervals.low)}, {percent(intervals.high)}]"


def findings(data: ReportData) -> list[Finding]:
    """Return the largest theme, and the ones that rose and fell most by the rule of the arrows."""
    trends = [f(data, themes) for themes in groups(data)[:1] for f in (_rising, _falling)]
    return [f for f in [*trends, *(_largest(themes) for themes in groups(data))] if f]


def _largest(themes: tuple[ThemeSummary, ...]) -> Finding | None:
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


def _rising(data: ReportData, themes: tuple[ThemeSummary, ...]) -> Finding | None:
    return _most(data, themes, 1)


def _falling(data: ReportData, themes: tuple[ThemeSummary, ...]) -> Finding | None:
    return _most(data, themes, -1)


def _most(data: ReportData, themes: tuple[ThemeSummary, ...], sign: int) -> Finding | None:
    """Return the theme that changed most in one direction; none where no arrow points there, or months are small."""
    ends = [n for n in month_totals(themes).values() if n]
    if ends and min(ends[0], ends[-1]) < FEW:
        return None
    moved = arrows(data)
    there = [(t, moved[t.cluster]) for t in themes if t.cluster in moved and moved[t.cluster].sign == sign]
    if not there:
        return None
    theme, arrow = max(there, key=lambda each: (sign * (each[1].change.estimate or 0), -each[0].cluster))
    verb = "rose" if sign > 0 else "fell"
    text = f"“{theme.name}” {verb} most: its share of the images changed by {arrow.size} over the months."
    also = f" {len(there)} of {len(themes)} themes {verb}." if len(there) > 1 else ""
    return Finding(text + also, f"n = {count(arrow.change.n)} {arrow.change.unit}; {arrow.change.method}.")


def _weights(theme: ThemeSummary) -> str:
    return label(", ".join(f"{word} {weight:.2f}" for word, weight in theme.words[:8]), 110) or "no words"


SECTION = ReportSection("themes", "Themes", context, findings)
