"""A platform that refuses settings, as serverless compute does, gets the ones that it takes."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from twigma_spark.io import session

TIME_ZONE = "spark.sql.session.timeZone"


class Settings:
    """What `spark.conf` is where few settings are to be had."""

    def __init__(self, **given: str) -> None:
        self.given = {key.replace("_", "."): value for key, value in given.items()}

    def get(self, key: str, default: str | None = None) -> str | None:
        self._check(key)
        return self.given.get(key, default)

    def set(self, key: str, value: str) -> None:
        self._check(key)
        self.given[key] = value

    def _check(self, key: str) -> None:
        if key not in self.given:
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")


class Refusing:
    """A session of such a platform; it has no context, as under Spark Connect."""

    def __init__(self, settings: Settings) -> None:
        self.conf = settings

    @property
    def sparkContext(self) -> Any:
        raise AnalysisException("[JVM_ATTRIBUTE_NOT_SUPPORTED]")


def platform(monkeypatch: pytest.MonkeyPatch, **given: str) -> Any:
    """Return the active session of a platform."""
    spark = Refusing(Settings(**given))
    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda cls: spark))
    return spark


def test_a_session_is_opened_and_batches_are_asked_for_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spark = platform(monkeypatch, spark_sql_session_timeZone="Europe/Paris")
    found, ours = session.open_session("test")
    assert (found, ours) == (spark, False)
    assert spark.conf.given == {TIME_ZONE: "UTC"}
    with session.picture_batches(found, 64):
        assert spark.conf.given == {TIME_ZONE: "UTC"}
    assert not session.is_local(found)


def test_what_results_depend_on_is_not_refused_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    platform(monkeypatch)
    with pytest.raises(AnalysisException, match="timeZone"):
        session.open_session("test")


def test_what_the_configuration_asks_for_is_not_refused_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    platform(monkeypatch, spark_sql_session_timeZone="UTC")
    with pytest.raises(AnalysisException, match="speculation"):
        session.open_session("test", conf={"spark.speculation": "true"})


@pytest.mark.parametrize(("partitions", "slots"), [("12", 12), ("auto", 200)])
def test_slots_are_the_partitions_of_a_shuffle_where_they_are_a_number(
    monkeypatch: pytest.MonkeyPatch, partitions: str, slots: int
) -> None:
    assert session.slots(platform(monkeypatch, spark_sql_shuffle_partitions=partitions)) == slots
