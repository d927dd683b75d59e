"""The section on posts over time: how many were made in each month, with gaps where there were none."""

from __future__ import annotations

import plotly.graph_objects as go

from twigma_spark.report.cloud import cloud, place
from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, figure, label, marks
from twigma_spark.report.numbers import count, interval, number, signed_percent
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

# Pixels of the cloud of words, in a figure of 680.
CLOUD = (592.0, 270.0)


def context(data: ReportData) -> dict[str, object]:
    """Return the chart, the months without posts, why there is no chart, and the cloud of the posts' words."""
    dated = data.by_label("activity", "posts", "month")
    gaps = [month for month, r in dated.items() if r.estimate is None]
    return {
        "charts": [months(data, dated)] if dated else [],
        "gaps": gaps,
        "reason": explain_absence(data),
        **_words(data),
    }


def _words(data: ReportData) -> dict[str, object]:
    rows = data.select("activity", "word")
    n = max((r.n or 0 for r in rows), default=0)
    sized = cloud((r.labels["word"], r.estimate or 0.0) for r in rows)
    return {"cloud": sized, "texts": n, "printed": [draw_words(rows)] if rows else []}


def draw_words(rows: list[Result]) -> Figure:
    """Return the cloud of the posts' words as a figure for print, as Figure 1c of Chen & Zou 2023 (TWIGMA)."""
    shares = {r.labels["word"]: r for r in rows}
    placed = place(cloud((word, r.estimate or 0.0) for word, r in shares.items()), *CLOUD)
    notes = [f"{number(shares[p.word].estimate)} {interval(shares[p.word].low, shares[p.word].high)}" for p in placed]
    trace = go.Scatter(
        x=[round(p.x, 1) for p in placed], y=[round(p.y, 1) for p in placed], text=[label(p.word) for p in placed],
        mode="text", textfont={"size": [p.size for p in placed], "color": [colour(n) for n in range(len(placed))]},
        customdata=notes, hoverinfo="text",
    )  # fmt: skip
    bare = {"visible": False, "automargin": False}
    layout = {"height": 334, "xaxis": {"range": [0, CLOUD[0]], **bare}, "yaxis": {"range": [0, CLOUD[1]], **bare}}
    n = max((r.n or 0 for r in rows), default=0)
    caption = (
        f"The most frequent words of {count(n)} posts with a text, their areas by the share of the posts that have "
        "them; places and colours mean nothing. A word counts once a post."
    )
    return figure("fig-words", [trace], layout, caption)


def explain_absence(data: ReportData) -> str:
    """Return what would have to be there for the chart."""
    if not any(run.stage == "trends" for run in data.runs):
        return "The stage trends has not run."
    corpora = [corpus for corpus in data.corpora if corpus.role == "posts"]
    with_dates = [corpus.name for corpus in corpora if corpus.since is not None]
    if with_dates:
        return (
            f"Posts are counted, and {', '.join(with_dates)} has dated images without posts: the reader posts brings "
            "posts, with their authors and likes."
        )
    return f"None of the posts of {', '.join(c.name for c in corpora) or 'any corpus'} has a date."


def months(data: ReportData, posts: dict[str, Result]) -> Figure:
    """Return bars of the posts and a line of the images that are in a theme, by month."""
    images = data.by_label("activity", "images", "month")
    order = sorted(posts)
    traces = [
        go.Bar(
            x=[f"{m}-01" for m in order], y=[posts[m].estimate for m in order], name="posts",
            marker={"color": colour(1)}, hovertemplate="%{x|%b %Y}: %{y:,} posts",
        ),
        go.Scatter(
            x=[f"{m}-01" for m in order], y=[images[m].estimate if m in images else None for m in order],
            name="kept images", mode="lines+markers", line={"color": colour(0)},
            hovertemplate="%{x|%b %Y}: %{y:,} images",
        ),
    ]  # fmt: skip
    layout = {
        "height": 340, "xaxis": {"type": "date", "tickformat": "%b %Y", "showgrid": False},
        "yaxis": {"title": {"text": "number in the month"}, "rangemode": "tozero"},
        **marks(data.events, order[0], order[-1]),
    }  # fmt: skip
    n = sum(r.n or 0 for r in posts.values())
    top = max(order, key=lambda m: posts[m].estimate or 0)
    caption = (
        f"Posts and kept images by month (UTC); n = {count(n)} posts in {len(order)} months, a census without an "
        f"interval; months without posts are left open. Most posts: {top}, {count(posts[top].n)}."
    )
    return figure("fig-activity", traces, layout, caption)


def findings(data: ReportData) -> list[Finding]:
    """Return whether the posts grew, where the interval says so."""
    growth = data.get("activity", "growth")
    if growth is None or growth.low is None or growth.high is None or growth.low <= 0 <= growth.high:
        return []
    verb = "grew" if growth.low > 0 else "shrank"
    ends = f"{signed_percent(growth.estimate)} [{signed_percent(growth.low)}, {signed_percent(growth.high)}]"
    return [
        Finding(f"The number of posts {verb} by {ends} a month.", f"n = {growth.n} {growth.unit}; {growth.method}.")
    ]


SECTION = ReportSection("activity", "Posts over time", context, findings)
