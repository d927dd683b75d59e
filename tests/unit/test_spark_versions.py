"""Each version of Spark has its Delta, whose jars set-up can check."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pyspark
import pytest

from twigma_spark.errors import ConfigError, ModelError
from twigma_spark.estimators import engines, likes
from twigma_spark.estimators.kmeans import KMeansSpec
from twigma_spark.io.spark_versions import DELTA, find_delta

PREPARE = Path(__file__).resolve().parents[2] / "deploy" / "local" / "prepare.py"


@pytest.mark.parametrize(
    ("version", "jar"), [("3.5.9", "delta-spark_2.12-3.3.3.jar"), ("4.1.4", "delta-spark_4.1_2.13-4.4.0.jar")]
)
def test_a_release_of_spark_has_a_release_of_delta(version: str, jar: str) -> None:
    assert find_delta(version).jar == jar


def test_this_spark_is_one_of_them() -> None:
    assert find_delta(pyspark.__version__) in DELTA.values()


@pytest.mark.parametrize("version", ["4.0.1", "3.4.2", "4.10.0"])
def test_another_spark_is_refused_with_the_way_out(version: str) -> None:
    with pytest.raises(ConfigError, match=rf"must be of version 3.5 or 4.1. Got '{version}'.*local-spark4"):
        find_delta(version)


def test_a_boosted_model_is_of_a_classic_spark_3_5(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "built for Spark 3.5, and this is Spark 4.1.4" in str(likes.unavailable("4.1.4"))
    monkeypatch.setattr(likes, "is_remote", lambda: True)
    assert "Spark Connect" in str(likes.unavailable("3.5.9"))


def test_spark_ml_is_refused_under_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_remote", lambda: True)
    with pytest.raises(ModelError, match="must be native under Spark Connect"):
        engines.spark_ml(None, KMeansSpec(2, 0))  # type: ignore[arg-type]


def test_set_up_knows_the_sum_of_each_jar() -> None:
    spec = importlib.util.spec_from_file_location("prepare", PREPARE)
    assert spec and spec.loader
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    wanted = {name for delta in DELTA.values() for name in (delta.jar, f"delta-storage-{delta.version}.jar")}
    assert prepare.SUMS.keys() == wanted
