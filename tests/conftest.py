"""Shared fixtures, and how the tests are distributed over processes: one Spark and Delta session in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession
from xdist.scheduler import LoadFileScheduling

from twigma_spark.config.models import Blip, OpenClip
from twigma_spark.io.session import SHORT_JVM, open_session
from twigma_spark.io.tables import Store

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
# Those that look at the one finished run, and the one that has Numba compile UMAP as that run does.
OF_THE_RUN = ("test_sample_run", "test_spark_submit", "test_notebooks", "test_projection")
WITH_SPARK = ("jobs", "realdata", "spark")
# Those that mostly wait, beside which Spark has the other processor; then those with Spark that take longest.
FIRST = ("test_downloads", "test_jetstream", "test_lease", "test_purging", "test_tables", "test_pipeline")
# No test is about its time, and machines are shared.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
# spark-submit starts the JVM before the software can choose its options.
os.environ.setdefault("SPARK_SUBMIT_OPTS", SHORT_JVM)

# What the models of the tests load in every worker, loaded once.
WORKER_IMPORTS = (OpenClip.worker_import, Blip.worker_import)


class ByFile(LoadFileScheduling):
    """The tests of one file in one process, and those of OF_THE_RUN."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "run" if Path(file).stem in OF_THE_RUN else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Return how tests are distributed where there are several processes."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first, so that no process waits for them at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, int, bool]:
    name = item.path.stem
    first = FIRST.index(name) if name in FIRST else len(FIRST)
    return name not in OF_THE_RUN, first, item.path.parent.name not in WITH_SPARK


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One local session with Delta and two threads."""
    home = tmp_path_factory.mktemp("spark")
    conf = {"spark.sql.warehouse.dir": str(home / "warehouse")}
    session, _ = open_session("tests", master="local[2]", conf=conf, short=True, worker_imports=WORKER_IMPORTS)
    yield session
    session.stop()


@pytest.fixture(scope="module", autouse=True)
def forget_cached_frames() -> Iterator[None]:
    """What a module has cached goes with it: Spark compares the plan of every later query with all that is cached."""
    yield
    if (session := SparkSession.getActiveSession()) is not None:
        session.catalog.clearCache()


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
