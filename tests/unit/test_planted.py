"""Precision and recall of duplicates against a truth, and the curve that the report draws of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from made_results import joined, result
from report_demo import demo

from twigma_spark.report.sections import duplicates
from twigma_spark.results import Result
from twigma_spark.stages import planted

# Six images: 0 and 1 share bytes, 2 is a changed copy of 1, 3 of 4; 5 is like 4 and no copy.
MADE = {"media": np.empty((0, 2), int), "bytes": np.array([[0, 1]]), "near": np.array([[2, 1], [3, 4]])}


def shares(rows: list[Result]) -> dict[tuple[str, str], tuple[float | None, int]]:
    return {(row.metric, joined(row)): (row.estimate, row.n) for row in rows}


def test_shares_by_tier() -> None:
    found = np.array([[1, 0], [2, 0], [5, 4]])
    tiers = np.array(["bytes", "near", "near"], object)
    assert shares(list(planted._of_tiers(MADE, found, tiers, 6))) == {
        ("precision", "bytes"): (1.0, 1),
        ("recall", "bytes"): (1.0, 1),
        ("precision", "near"): (0.5, 2),
        ("recall", "near"): (0.5, 2),
    }


def test_shares_by_threshold() -> None:
    """The pair 2-0 stands for 2-1, since 0 and 1 are one already; without bits a pair passes every number."""
    pairs, how = np.array([[2, 0], [3, 4], [5, 4]]), {"similarity": [0.99, 0.96, 0.97], "bits": [4, 30, 20]}
    found = shares(list(planted._of_thresholds(MADE, MADE["bytes"], pairs, pd.DataFrame(how), 6)))
    assert found["precision", "near|0.950|32"] == (2 / 3, 3)
    assert found["recall", "near|0.950|32"] == (1.0, 2)
    assert found["precision", "near|0.980|8"] == (1.0, 1)
    assert found["recall", "near|0.980|8"] == (0.5, 2)
    assert ("precision", "near|0.999|8") not in found
    assert found["recall", "near|0.999|8"] == (0.0, 2)
    unhashed = shares(
        list(planted._of_thresholds(MADE, MADE["bytes"], pairs, pd.DataFrame({**how, "bits": [None] * 3}), 6))
    )
    assert unhashed["precision", "near|0.950|8"] == (2 / 3, 3)


def test_the_report_draws_one_line_a_similarity() -> None:
    rows = [
        result("duplicates", metric, value, 0, 1, tier="near", similarity=s, bits=bits)
        for s, bits, value in (("0.950", 16, 0.5), ("0.950", 8, 0.25), ("0.990", 8, 0.2))
        for metric in ("precision", "recall")
    ]
    found = duplicates.context(type(demo())(title="t", created_at=demo().created_at, results=tuple(rows)))
    chart = found["chart"]
    assert isinstance(chart, duplicates.Figure) and chart.json.count("cosine") == 2
    assert '"x":[0.25,0.5]' in chart.json and found["rows"] == []
    assert duplicates.context(type(demo())(title="t", created_at=demo().created_at))["chart"] is None
