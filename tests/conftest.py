"""Shared fixtures, and how the tests are dealt to processes: one Spark and Delta session in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


ROOMS = ("jobs", "realdata", "spark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one file, and those of the one finished run, in one process; the long ones come first."""
    for item in items:
        group = "run" if "done" in getattr(item, "fixturenames", ()) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: ("done" not in getattr(item, "fixturenames", ()), item.path.parent.name not in ROOMS))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One local session with Delta and two threads."""
    home = tmp_path_factory.mktemp("spark")
    conf = {"spark.sql.shuffle.partitions": "2", "spark.sql.warehouse.dir": str(home / "warehouse")}
    session, _ = open_session("tests", master="local[2]", conf=conf)
    yield session
    session.stop()


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return Store(spark, str(tmp_path / "store"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data is missing: {SHARED}")
    return SHARED
