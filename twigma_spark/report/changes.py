"""What changed from an earlier run to this one, as one HTML document."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

from markupsafe import Markup

from twigma_spark import metrics
from twigma_spark.io.export import escape_formula
from twigma_spark.report.numbers import interval, number
from twigma_spark.report.render import environment, source
from twigma_spark.results import Result
from twigma_spark.stats.changes import METHOD, Change, Changes

HEADER = (
    "analysis", "metric", "labels", "before", "before_low", "before_high", "now", "now_low", "now_high",
    "difference", "low", "high", "beyond_interval",
)  # fmt: skip


def render_changes(title: str, against: str, now: datetime, changes: Changes) -> str:
    """Return the page as one HTML document that refers to nothing outside of it and runs no script.

    Args:
        title: of the report.
        against: which run it is compared with, in words.
        now: when the page is made, in UTC.
        changes: the two runs side by side.
    """
    env = environment()
    return env.get_template("changes.html").render(
        title=title,
        against=against,
        now=now,
        beyond=[_line(change) for change in changes.beyond],
        compared=len(changes.compared),
        without=len(changes.both) - len(changes.compared),
        new=_by_analysis(changes.new),
        gone=_by_analysis(changes.gone),
        method=METHOD,
        csv=csv_link(changes.both),
        style=Markup(source(env, "page.css")),  # noqa: S704 - a file of the package
    )


def _line(change: Change) -> dict[str, str]:
    metric = metrics.find(change.now.analysis, change.now.metric)
    return {
        "of": change.now.label_text,
        "measure": metric.title if metric else f"{change.now.analysis} {change.now.metric}",
        "before": _with_ends(change.before),
        "now": _with_ends(change.now),
        "difference": f"{number(change.difference)} {interval(change.low, change.high)}",
    }


def _with_ends(result: Result) -> str:
    return f"{number(result.estimate)} {interval(result.low, result.high)}"


def _by_analysis(results: Sequence[Result]) -> list[tuple[str, int]]:
    names = [result.analysis for result in results]
    return [(name, names.count(name)) for name in sorted(set(names))]


def csv_link(both: Iterable[Change]) -> str:
    """Return all statistics of both runs as CSV in a data URI."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for c in both:
        ends = [value for r in (c.before, c.now) for value in (r.estimate, r.low, r.high)]
        row = (c.now.analysis, c.now.metric, c.now.label_text, *ends, c.difference, c.low, c.high, c.beyond)
        writer.writerow([escape_formula(value) for value in row])
    return "data:text/csv;base64," + base64.b64encode(out.getvalue().encode()).decode("ascii")
