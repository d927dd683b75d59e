"""The sample world in a temporary folder, run once for all tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io.tables import Store
from twigma_spark.runner import Outcome

ROOT = Path(__file__).resolve().parents[2]
SIZE = 160


@dataclass(frozen=True)
class Done:
    """A run of every stage."""

    conf: Path
    cfg: Config
    store: Store
    outcomes: list[Outcome]

    def again(self, *overrides: str) -> list[Outcome]:
        """Run every stage again."""
        cfg = load([self.conf], overrides)
        return pipeline.run(cfg, self.store, pipeline.select(), lambda text: None)


@pytest.fixture(scope="session")
def conf_in() -> Callable[[Path], Path]:
    """Writes conf/sample.yaml, and small.yaml, for a small world under another folder."""

    def write(folder: Path, sample: Path | None = None) -> Path:
        text = (ROOT / "conf" / "sample.yaml").read_text() + (ROOT / "tests" / "jobs" / "small.yaml").read_text()
        text = text.replace("build/demo/sample", str(sample or folder / "sample")).replace("build/demo", str(folder))
        path = folder / "sample.yaml"
        path.write_text(text.replace("sample: {out:", f"sample: {{size: {SIZE}, out:"))
        return path

    return write


@pytest.fixture(scope="session")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, conf_in: Callable[[Path], Path]) -> Done:
    """The whole pipeline on a small sample world."""
    conf = conf_in(tmp_path_factory.mktemp("world"))
    cfg = load([conf])
    store = Store(spark, cfg.store.root)
    return Done(conf, cfg, store, pipeline.run(cfg, store, pipeline.select(), lambda text: None))
