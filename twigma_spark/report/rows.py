"""The rows of `results` behind a section, as a CSV file inside the page."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable

from twigma_spark import metrics
from twigma_spark.io.export import escape_formula
from twigma_spark.report.data import ReportData
from twigma_spark.results import Result, tidy


def section_rows(data: ReportData, section: str) -> list[Result]:
    """Return the results of the analyses that a section shows."""
    analyses = metrics.analyses_of(section)
    return [row for row in data.results if row.analysis in analyses]


def csv_text(rows: Iterable[Result]) -> str:
    """Return results as CSV with a header; texts that a spreadsheet would compute get an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names, values = tidy(rows)
    writer.writerow(names)
    writer.writerows([escape_formula(value) for value in row] for row in values)
    return out.getvalue()


def csv_link(rows: Iterable[Result]) -> str:
    """Return the CSV as a data URI, so that the page stays one file."""
    return "data:text/csv;base64," + base64.b64encode(csv_text(rows).encode()).decode("ascii")
