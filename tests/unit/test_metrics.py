"""The catalogue of metrics: unique entries, sections that exist and show what they say, and the files made from it."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from report_demo import demo

from twigma_spark import metrics
from twigma_spark.io.export import frame_bytes, write_bytes
from twigma_spark.metrics import CATALOGUE, TABLE_ONLY, Metric
from twigma_spark.report.data import ReportData
from twigma_spark.report.render import SECTIONS, environment
from twigma_spark.report.rows import csv_link, csv_text, section_rows
from twigma_spark.report.section import ReportSection
from twigma_spark.results import COLUMNS, Result

SHOWN = [m for m in CATALOGUE if m.section != TABLE_ONLY]
BY_ID = {section.id: section for section in SECTIONS}


def section_html(section: ReportSection, data: ReportData) -> str:
    """Return the section and its sentences at the top of the page."""
    findings = "".join(f"{f.text} {f.basis}" for f in section.findings(data))
    return findings + environment().get_template(f"{section.id}.html").render(data=data, it=section.context(data))


def is_of(row: Result, metric: Metric) -> bool:
    return metrics.find(row.analysis, row.metric) is metric


def test_entries_are_unique_whole_and_in_sections_that_exist() -> None:
    assert max(Counter((m.analysis, m.name) for m in CATALOGUE).values()) == 1
    assert all(m.title and m.meaning.endswith(".") and m.scale and m.source for m in CATALOGUE)
    assert {m.section for m in CATALOGUE} <= {*BY_ID, TABLE_ONLY}


def test_a_metric_is_found_and_an_unknown_one_is_not() -> None:
    found = metrics.find("recall", "recall_at_k")
    assert found and found.labels == ("reference", "k", "nprobe")
    assert metrics.find("recall", "no_such") is None and metrics.find("no_such", "kl") is None


@pytest.mark.parametrize("metric", SHOWN, ids=lambda m: f"{m.analysis}-{m.name}")
def test_every_metric_that_is_not_table_only_is_drawn_in_its_section(metric: Metric) -> None:
    data = demo()
    mine = [row for row in data.results if is_of(row, metric)]
    assert mine, "report_demo must fill every part of the page"
    without = replace(data, results=tuple(row for row in data.results if row not in mine))
    assert section_html(BY_ID[metric.section], data) != section_html(BY_ID[metric.section], without)


def test_the_rows_of_the_demo_are_in_the_catalogue_with_their_labels() -> None:
    assert [r for r in demo().results if not metrics.describes(r)] == []
    assert not {"analysis", "metric", "title", "scale", *COLUMNS} & {name for m in CATALOGUE for name in m.labels}


def test_a_section_links_to_its_rows_and_a_formula_stays_a_text() -> None:
    data = demo()
    rows = section_rows(data, "likes")
    assert {row.analysis for row in rows} == {"likes", "likes_regression", "likes_joint", "likes_boosting"}
    text = base64.b64decode(csv_link(rows).removeprefix("data:text/csv;base64,")).decode()
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(rows)
    (cell,) = csv.DictReader(io.StringIO(csv_text([replace(rows[0], labels={"reference": "=1+1"})])))
    assert cell["reference"] == "'=1+1"


def test_rows_are_exported_in_each_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"analysis": ["likes", "nsfw"], "estimate": [1.5, None]})
    assert frame_bytes(frame, "csv") == b"analysis,estimate\nlikes,1.5\nnsfw,\n"
    assert json.loads(frame_bytes(frame, "json"))[1] == {"analysis": "nsfw", "estimate": None}
    path = write_bytes(str(tmp_path / "new" / "rows.parquet"), frame_bytes(frame, "parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame)
