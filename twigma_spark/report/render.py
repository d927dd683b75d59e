"""ReportData in, one HTML document out: nothing in it refers to anything outside of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice, zip_longest

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from twigma_spark.report import numbers
from twigma_spark.report.data import Picture, ReportData
from twigma_spark.report.figures import data_uri
from twigma_spark.report.rows import csv_link, section_rows
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.report.sections import (
    activity,
    choice,
    concordance,
    copies,
    corpora,
    distinctiveness,
    duplicates,
    hashtags,
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

# The page opens with the first sentence of the first of these that have one, and with pictures.
LEADS = ("distinctiveness", "likes", "themes", "variation", "neighbours", "activity")
SENTENCES, OPENING = 3, 24
SCRIPTS = ("page.js", "map_tiles.js", "map_cards.js", "map.js")
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
    hashtags.SECTION,
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
    Content-Security-Policy lets run the page's own scripts, by their hashes, and load nothing at all.
    """
    env = environment()
    plotly, *scripts = get_plotlyjs(), *(source(env, name) for name in SCRIPTS)
    findings = {section.id: section.findings(data) for section in SECTIONS}
    page = env.get_template("page.html").render(
        data=data,
        sections=[
            (section, section.context(data), section_rows(data, section.id), findings[section.id])
            for section in SECTIONS
        ],
        leads=choose_leads(findings),
        opening=choose_pictures(data),
        style=Markup(source(env, "page.css")),  # noqa: S704 - a file of the package
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of the package
        plotly=Markup(plotly),  # noqa: S704 - a file of the plotly package
        script_hashes=[script_hash(script) for script in (plotly, *scripts)],
    )
    return page


def choose_leads(findings: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return the sentences that the page opens with: the first one of a section, those of LEADS before others."""
    order = [*LEADS, *(name for name in findings if name not in LEADS)]
    return [findings[name][0] for name in order if findings.get(name)][:SENTENCES]


def choose_pictures(data: ReportData) -> list[Picture]:
    """Return the pictures that the page opens with: of each theme in turn, none that is hidden or cannot be drawn."""
    shown = [
        [p for p in theme.pictures if p.thumbnail and p.hidden_because(data.nsfw_threshold) is None]
        for theme in data.themes
        if theme.clustering == data.themes[0].clustering
    ]
    turns = (picture for turn in zip_longest(*shown) for picture in turn if picture is not None)
    return list(islice(turns, OPENING))


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
