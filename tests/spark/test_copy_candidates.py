"""The table `copies` and its statistics: candidates are the best matches at the threshold, with their own rate."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.results import Result, Value
from twigma_spark.stages import neighbours
from twigma_spark.stages.neighbours import ReferenceSearch
from twigma_spark.stages.stage import StageContext
from twigma_spark.stats.tails import calibrate

RATE = 1e-3


@pytest.fixture
def search(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> ReferenceSearch:
    none = Result.of("copies", "reference_rate", Value(0.0, 0.0, 0.1, 9, "images", "made up"), reference="art")
    monkeypatch.setattr(neighbours, "_reference_rate", lambda *arguments: none)
    return ReferenceSearch(spark.range(0).toDF("image_id"), 0, "art", spark.range(0).toDF("image_id"))


def run(spark: SparkSession, search: ReferenceSearch, values: np.ndarray):  # type: ignore[no-untyped-def]
    rows = [(f"q{i:04d}", rank, f"r{i:04d}", float(s) - rank + 1) for i, s in enumerate(values) for rank in (1, 2)]
    found = local_frame(spark, rows, "image_id string, rank int, neighbour_id string, similarity double")
    said: list[str] = []
    context = StageContext(spark, lambda frame: frame, said.append)
    cfg = Config.model_validate({"neighbours": {"copies": {"bootstrap": 20}}})
    copies, results = neighbours._copies(cfg, context, found, search, [])
    return copies.collect(), {(r.metric, r.labels.get("stated")): r for r in results}, said


def test_candidates_are_the_best_matches_at_the_threshold(spark: SparkSession, search: ReferenceSearch) -> None:
    values = np.round(1.0 - 0.5 * np.random.default_rng(3).random(1500) ** 0.25, 6)
    values[:30] = 1.0 - 1e-4 * np.arange(30)
    tail = calibrate(values, RATE).tail
    assert tail is not None
    wanted = {f"q{i:04d}" for i in np.flatnonzero(values >= tail.threshold(RATE))}
    copies, results, _ = run(spark, search, values)
    assert {row["image_id"] for row in copies} == wanted and len(wanted) >= 30
    for row in copies:
        assert row["reference"] == "art" and row["neighbour_id"] == "r" + row["image_id"][1:]
        assert row["threshold"] == pytest.approx(tail.threshold(RATE))
        assert row["false_match_rate"] == pytest.approx(float(tail.rate(row["similarity"])), rel=1e-9)
    assert results["candidates", None].estimate == pytest.approx(len(wanted) / 1500)
    # Chance alone brings 1.5 of 1,500 there.
    share = results["false_share", None].value
    assert share.estimate == pytest.approx(1.5 / len(wanted)) and (share.low, share.high) == (0.0, 4 / len(wanted))
    assert results["observed_rate", "0.001"].estimate == results["candidates", None].estimate


def test_without_a_threshold_there_are_no_candidates_and_a_reason(spark: SparkSession, search: ReferenceSearch) -> None:
    copies, results, said = run(spark, search, np.full(200, 0.5))
    assert copies == [] and results["threshold", None].estimate is None
    assert "no threshold for copies in 'art'" in said[0] and "too few or too equal" in said[0]
