"""The section on likes: means by quintile of similarity, the regressions beside one another, the boosted model."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label
from twigma_spark.report.numbers import count, number, percent_ends, signed_percent
from twigma_spark.report.rows import section_rows
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.report.sections import joint_likes
from twigma_spark.results import Result

QUINTILES = ("1", "2", "3", "4", "5")
LEAST = "quintile 1"  # the level of the regressions
# The columns of the table: what to read, then the paper's model and what it needs.
MODELS = {
    "poisson_score": "recommended",
    "poisson": "Poisson, as in the paper",
    "poisson_post": "errors by post",
    "poisson_author": "errors by author",
    "quasi_poisson": "quasi-Poisson",
    "negative_binomial": "negative binomial",
    "poisson_offset": "offset for age",
    "poisson_age": "age as a covariate",
    "ppml_author": "author effects",
}
TRUSTED = "poisson_score"
# What says for itself why it is missing.
APART = ("likes_boosting", "likes_joint")


@dataclass(frozen=True)
class LikesRow:
    """One level of a regression: its name and a cell for each model."""

    level: str
    cells: tuple[str, ...]


def references(data: ReportData) -> list[str]:
    """Return the references that the likes are compared with, in the order of the page."""
    seen = {r.labels["reference"] for r in _rows(data) if "quintile" in r.labels or "level" in r.labels}
    return sorted(seen, key=data.corpus_order)


def _rows(data: ReportData) -> list[Result]:
    return section_rows(data, "likes")


def context(data: ReportData) -> dict[str, object]:
    """Return the chart, a table a reference, what could not be computed and the boosted model."""
    rows = _rows(data)
    means = {name: _means(data, name) for name in references(data)}
    return {
        "charts": [quintiles(data, means)] if any(means.values()) else [],
        "models": list(MODELS.values()),
        "tables": [(name, table) for name in references(data) if (table := _table(data, name))],
        "dispersion": _dispersion(data),
        "absent": [(r.label_text, r.method) for r in rows if r.estimate is None and r.analysis not in APART],
        "boosting": _boosting(data),
        "any": bool(rows),
        **joint_likes.context(data),
    }


def _means(data: ReportData, reference: str) -> dict[str, Result]:
    """Return the mean likes by quintile."""
    by_quintile = data.by_label("likes", "mean_likes", "quintile", reference=reference)
    return {quintile: r for quintile, r in by_quintile.items() if r.estimate is not None}


def quintiles(data: ReportData, means: dict[str, dict[str, Result]]) -> Figure:
    """Return points with intervals: mean likes by quintile, one colour a reference."""
    order = [c.name for c in data.corpora]
    names = list(means)
    traces = []
    for place, name in enumerate(names):
        points = [(q, means[name][q]) for q in QUINTILES if q in means[name]]
        similar = data.by_label("likes", "mean_similarity", "quintile", reference=name)
        shift = (place - (len(names) - 1) / 2) * 0.12
        near = [similar.get(q) for q, _ in points]
        traces.append(_points(name, points, near, shift, order.index(name) if name in order else len(order)))
    layout = {
        "height": 380,
        "xaxis": {
            "tickvals": [1, 2, 3, 4, 5], "ticktext": ["1 least", "2", "3", "4", "5 most"], "range": [0.5, 5.5],
            "title": {"text": "quintile of similarity to the reference"}, "showgrid": False,
        },
        "yaxis": {"title": {"text": "mean likes of an image"}, "rangemode": "tozero"},
    }  # fmt: skip
    sizes = ", ".join(f"{name} {count(sum(r.n for r in means[name].values()))}" for name in names)
    caption = (
        f"Mean likes by quintile of similarity, the mean cosine of the nearest images of the reference. n images: "
        f"{sizes}; images of one post share its likes, and the 95% intervals are clustered by author. "
        f"{_describe(means)}"
    )
    return figure("fig-likes", traces, layout, caption)


def _points(
    name: str, means: list[tuple[str, Result]], near: list[Result | None], shift: float, index: int
) -> go.Scatter:
    y = [r.estimate or 0.0 for _, r in means]
    bars = error_bars([r for _, r in means])
    return go.Scatter(
        x=[QUINTILES.index(q) + 1 + shift for q, _ in means],
        y=y,
        name=label(name),
        mode="lines+markers",
        line={"color": colour(index), "width": 1.4},
        error_y={"type": "data", **bars, "color": colour(index), "thickness": 1.6},
        customdata=[[_ends(r), count(r.n), _near(s)] for (_, r), s in zip(means, near, strict=True)],
        hovertemplate="%{y:.1f} likes %{customdata[0]}, n = %{customdata[1]} images%{customdata[2]}",
    )


def _near(result: Result | None) -> str:
    """Return the mean similarity of a quintile in words."""
    if result is None or result.estimate is None:
        return ""
    return f"<br>mean similarity {number(result.estimate)} {_ends(result)}"


def _ends(result: Result) -> str:
    return "" if result.low is None else f"[{number(result.low)}, {number(result.high)}]"


def _describe(means: dict[str, dict[str, Result]]) -> str:
    """Return what the points show: the first and the last quintile of each reference."""
    pairs = [(name, rows.get(QUINTILES[0]), rows.get(QUINTILES[-1])) for name, rows in means.items()]
    changes = [f"{name} {number(a.estimate)} against {number(b.estimate)}" for name, a, b in pairs if a and b]
    return f"Least against most similar: {', '.join(changes)} likes." if changes else ""


def _table(data: ReportData, reference: str) -> list[LikesRow]:
    models = [data.by_label("likes_regression", metric, "level", reference=reference) for metric in MODELS]
    levels = dict.fromkeys(level for rows in models for level in sorted(rows))
    return [LikesRow(level, tuple(_cell(rows.get(level)) for rows in models)) for level in levels]


def _cell(result: Result | None) -> str:
    if result is None or result.estimate is None:
        return "–"
    return f"{signed_percent(result.estimate)} {percent_ends(result.low, result.high)}".strip()


def _dispersion(data: ReportData) -> list[str]:
    """Return sentences on the test of overdispersion, then on the two measures of each reference."""
    tests = map(_overdispersion, data.select("likes_regression", "overdispersion"))
    measures = (_dispersion_measures(data, name) for name in references(data))
    return [text for text in (*tests, *measures) if text]


def _overdispersion(result: Result) -> str | None:
    if result.estimate is None:
        return None
    name = result.labels["reference"]
    more = "more than a Poisson allows" if (result.low or 0) > 0 else "not shown to exceed a Poisson's"
    return f"{name}: the likes scatter {more} (alpha {number(result.estimate)} {_ends(result)})."


def _dispersion_measures(data: ReportData, reference: str) -> str | None:
    """Return the two measures of how much more the likes scatter than a Poisson's, in words."""
    names = {"pearson_dispersion": "Pearson dispersion", "negative_binomial_alpha": "negative binomial alpha"}
    rows = {words: data.get("likes_regression", m, reference=reference) for m, words in names.items()}
    known = [f"{words} {number(r.estimate)}" for words, r in rows.items() if r and r.estimate is not None]
    return f"{reference}: {', '.join(known)}." if known else None


def _boosting(data: ReportData) -> dict[str, object]:
    deviance = data.by_label("likes_boosting", "held_out_deviance", "model")
    explained = data.by_label("likes_boosting", "deviance_explained", "model")
    shap = data.by_label("likes_boosting", "mean_abs_shap", "feature")
    known = [(model, r) for model, r in deviance.items() if r.estimate is not None]
    return {
        "rows": [
            (model, r, explained.get(model)) for model, r in sorted(known, key=lambda each: -(each[1].estimate or 0))
        ],
        "shap": sorted((r for r in shap.values() if r.estimate is not None), key=lambda r: -(r.estimate or 0)),
        "why": [r.method for r in deviance.values() if r.estimate is None],
    }


def findings(data: ReportData) -> list[Finding]:
    """Return, for each reference, what the least similar images get against the most similar ones."""
    trusted = (data.get("likes_regression", TRUSTED, reference=name, level=LEAST) for name in references(data))
    return [_finding(result) for result in trusted if result and result.low is not None and result.high is not None]


def _finding(result: Result) -> Finding:
    name, low, high = result.labels["reference"], result.low or 0.0, result.high or 0.0
    ends = f"{signed_percent(result.estimate)} {percent_ends(low, high)}"
    if low <= 0 <= high:
        text = f"No significant difference in likes between the images least and most like those of {name}: {ends}."
    else:
        more = "more" if low > 0 else "fewer"
        text = f"The images least like those of {name} get {more} likes than the most alike: {ends}."
    return Finding(text, f"n = {count(result.n)} {result.unit}; {result.method}.")


SECTION = ReportSection("likes", "Likes", context, findings)
