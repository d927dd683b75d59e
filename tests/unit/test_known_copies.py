"""Precision and recall of duplicates against copies that are known, and the curve that the report draws of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import joined, result
from report_demo import demo

from twigma_spark.errors import CorpusError
from twigma_spark.estimators import known_copies
from twigma_spark.io.export import write_text
from twigma_spark.io.known_copies import KnownCopy, fingerprint, format_known_copies, read_known_copies
from twigma_spark.report.sections import duplicates
from twigma_spark.results import Result

# Six images: 0 and 1 share bytes, 2 is a changed copy of 1, 3 of 4; 5 is like 4 and no copy.
MADE = {"media": np.empty((0, 2), int), "bytes": np.array([[0, 1]]), "near": np.array([[2, 1], [3, 4]])}


def shares(rows: list[Result]) -> dict[tuple[str, str], tuple[float | None, int]]:
    return {(row.metric, joined(row)): (row.estimate, row.n) for row in rows}


def test_shares_by_tier() -> None:
    found = np.array([[1, 0], [2, 0], [5, 4]])
    tiers = np.array(["bytes", "near", "near"], object)
    assert shares(list(known_copies._by_tier(MADE, found, tiers, 6))) == {
        ("precision", "bytes"): (1.0, 1),
        ("recall", "bytes"): (1.0, 1),
        ("precision", "near"): (0.5, 2),
        ("recall", "near"): (0.5, 2),
    }


def test_shares_by_threshold() -> None:
    """The pair 2-0 stands for 2-1, since 0 and 1 are one already."""
    pairs, by = np.array([[2, 0], [3, 4], [5, 4]]), {"similarity": [0.99, None, 0.97], "pixels": [None, 0.9, 0.9]}
    candidates = pd.DataFrame({**by, "bits": [4, 30, 20]})
    found = shares(list(known_copies._by_threshold(MADE, MADE["bytes"], pairs, candidates, 6)))
    assert found["precision", "near|both|32"] == (2 / 3, 3)
    assert found["recall", "near|both|32"] == (1.0, 2)
    assert found["precision", "near|embeddings|8"] == (1.0, 1)
    assert found["recall", "near|embeddings|8"] == (0.5, 2)
    assert found["precision", "near|pixels|24"] == (0.0, 1)
    assert found["recall", "near|pixels|32"] == (0.5, 2)
    assert ("precision", "near|pixels|8") not in found
    assert found["recall", "near|pixels|8"] == (0.0, 2)


def test_the_report_draws_one_line_for_each_kind_of_candidates() -> None:
    rows = [
        result("duplicates", metric, value, 0, 1, tier="near", candidates=name, bits=bits)
        for name, bits, value in (("pixels", 16, 0.5), ("pixels", 8, 0.25), ("both", 8, 0.2))
        for metric in ("precision", "recall")
    ]
    found = duplicates.context(type(demo())(title="t", created_at=demo().created_at, results=tuple(rows)))
    chart = found["chart"]
    assert isinstance(chart, duplicates.Figure) and '"name":"both"' in chart.json
    assert '"x":[0.25,0.5]' in chart.json and found["rows"] == []
    assert duplicates.context(type(demo())(title="t", created_at=demo().created_at))["chart"] is None


def test_known_copies_become_pairs_of_rows_and_those_not_taken_in_none() -> None:
    keys = pd.MultiIndex.from_tuples([("posts", "a.png"), ("posts", "b, c.png"), ("art", "a.png")])
    known = [
        KnownCopy("posts", "b, c.png", "a.png", "near"),
        KnownCopy("art", "a.png", "gone.png", "bytes"),
        KnownCopy("diffusion", "a.png", "b, c.png", "bytes"),
    ]
    edges = known_copies._known_edges(known, keys)
    assert {tier: rows.tolist() for tier, rows in edges.items()} == {"media": [], "bytes": [], "near": [[1, 0]]}


def test_a_file_of_known_copies_is_read_as_it_was_written(tmp_path: Path) -> None:
    copies = [KnownCopy("posts", 'a "b", c.png', "ü.png", "near"), KnownCopy("art", "1.png", "2.png", "bytes")]
    path = tmp_path / "copies.csv"
    path.write_text(format_known_copies(copies), encoding="utf-8")
    assert read_known_copies(str(path)) == copies
    url = f"memory://copies/{path.name}"
    write_text(url, path.read_text(encoding="utf-8"))
    assert read_known_copies(url) == copies and fingerprint(url) == fingerprint(str(path)) != "missing"
    assert fingerprint("memory://copies/none.csv") == fingerprint(str(path.with_name("none"))) == "missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpus,source_key\np,a\n", "its columns must be corpus, source_key, copy_of, tier"),
        ("", "its columns must be"),
        ("corpus,source_key,copy_of,tier\np,a,b,alike\n", r"line 2: tier must be media, bytes, near\. Got 'alike'"),
    ],
)
def test_a_wrong_file_of_known_copies_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "copies.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        read_known_copies(str(path))
    with pytest.raises(CorpusError, match=r"must be a readable CSV file\. Got"):
        read_known_copies(str(tmp_path))
