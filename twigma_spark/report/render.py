"""ReportData in, one HTML document out: nothing in it refers to anything outside of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from twigma_spark.report import numbers
from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import data_uri
from twigma_spark.report.rows import csv_link, section_rows
from twigma_spark.report.section import ReportSection
from twigma_spark.report.sections import (
    activity,
    choice,
    concordance,
    copies,
    corpora,
    distinctiveness,
    duplicates,
    likes,
    neighbours,
    origins,
    paper,
    projection,
    prompts,
    rejects,
    reward,
    robustness,
    runs,
    safety,
    texts,
    themes,
    variation,
)

# The order of the page. A new section is a module in sections/, its template and a line here.
SECTIONS: tuple[ReportSection, ...] = (
    corpora.SECTION,
    duplicates.SECTION,
    distinctiveness.SECTION,
    robustness.SECTION,
    origins.SECTION,
    projection.SECTION,
    variation.SECTION,
    prompts.SECTION,
    texts.SECTION,
    activity.SECTION,
    themes.SECTION,
    choice.SECTION,
    concordance.SECTION,
    neighbours.SECTION,
    copies.SECTION,
    likes.SECTION,
    reward.SECTION,
    safety.SECTION,
    paper.SECTION,
    rejects.SECTION,
    runs.SECTION,
)

FILTERS: dict[str, Callable[..., str]] = {
    "number": numbers.number,
    "count": numbers.count,
    "percent": numbers.percent,
    "duration": numbers.duration,
}


def render(data: ReportData) -> str:
    """Return the page as one HTML document.

    All text is escaped by Jinja's autoescape; JSON in script elements by `figures.script_json`. The
    Content-Security-Policy lets run the page's own two scripts, by their hashes, and load nothing at all.
    """
    env = environment()
    script, plotly = source(env, "page.js"), get_plotlyjs()
    page = env.get_template("page.html").render(
        data=data,
        sections=[(section, section.context(data), section_rows(data, section.id)) for section in SECTIONS],
        findings=[finding for section in SECTIONS for finding in section.findings(data)],
        style=Markup(source(env, "page.css")),  # noqa: S704 - a file of the package
        script=Markup(script),  # noqa: S704 - a file of the package
        plotly=Markup(plotly),  # noqa: S704 - a file of the plotly package
        script_hashes=[script_hash(plotly), script_hash(script)],
    )
    return page


@cache
def environment() -> Environment:
    """Return the templates of the package, with the page's filters."""
    env = Environment(
        loader=PackageLoader("twigma_spark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(FILTERS)
    env.globals.update(csv_link=csv_link, data_uri=data_uri, interval=numbers.interval)
    return env


def source(env: Environment, name: str) -> str:
    """Return a file of the templates as it is."""
    if env.loader is None:
        raise ValueError("the template environment must have a loader. Got None.")
    return env.loader.get_source(env, name)[0]


def script_hash(script: str) -> str:
    """Return what a Content-Security-Policy lets a script run by."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
