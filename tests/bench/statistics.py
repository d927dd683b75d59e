"""The paper's statistics at the paper's size: 805,650 x 768 embeddings and 623,707 posts, a line for each analysis.

`python -m tests.bench.statistics` runs all; `--only NAME`, several times, some; `--share 0.01` on less. There is no
other side to compare with: the target is ten minutes for all of it, and 4 GB for the driver.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from tests.bench.book import progress, timed
from tests.bench.memory import watched
from tests.bench.records import FOLDER, Record, keep
from tests.bench.statistics_data import Size, tables
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io.session import open_session
from twigma_spark.stages import distinctiveness, inputs, likes, trends, variation
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats.concordance import Answer, Draws, Item, concordance_results
from twigma_spark.transforms.themes import theme_words

SECONDS, DRIVER = 600.0, 4.0
STAGES = {s.name: s for s in (distinctiveness.STAGE, variation.STAGE, likes.STAGE, trends.STAGE)}


class Bench:
    """The session, the configuration and the tables of a run."""

    def __init__(self, spark: SparkSession, root: Path, size: Size) -> None:
        """Make the tables where they are not there yet."""
        self.spark, self.root, self.size = spark, root, size
        self.cfg: Config = load([Path("conf/sample.yaml")])
        progress(f"tables for {size.rows:,} images and {size.posts:,} posts")
        self.folder = root / f"{size.images}-{size.posts}-{size.rows}-{size.dim}"
        self.tables = tables(spark, self.folder, self.cfg, size)

    def stage(self, stage: Stage) -> int:
        """Run a stage without its write and return the number of its results."""
        context = StageContext(self.spark, self._once, progress)
        made = stage.run(self.cfg, context, **{name: self.tables[name] for name in stage.reads})
        found = made if isinstance(made, dict) else {k: v for part in made for k, v in part.items()}  # type: ignore[union-attr]
        return sum(frame.count() for frame in found.values())

    def words(self) -> int:
        """Find the words of ten themes among the captions of all posts' images."""
        themed = inputs.clustering(self.tables["clusters"], "themes")
        captions = self.tables["captions"].select("image_id", "caption")
        return len(theme_words(captions.join(themed, "image_id"), self.cfg.cluster.words).collect())

    def concordance(self) -> int:
        """Hold three annotators' made-up answers on ten images of each theme against captions and clusters."""
        rng = np.random.default_rng(1)
        items = [Item(f"{i:03d}", i // 10, f"theme{i // 10} thing{i % 7} place{i % 3}") for i in range(100)]
        answers = [
            Answer(who, x.item, (f"theme{x.cluster}", f"thing{rng.integers(7)}", "bright"), f"group{x.cluster // 2}")
            for who in ("one", "two", "three") for x in items
        ]  # fmt: skip
        how = self.cfg.concordance
        draws = Draws(how.permutations, how.resamples, self.cfg.seed)
        return len(list(concordance_results(items, answers, frozenset(), draws)))

    def _once(self, frame: DataFrame) -> DataFrame:
        folder = self.root / "once"
        shutil.rmtree(folder, ignore_errors=True)
        frame.write.format("delta").save(str(folder))
        return self.spark.read.format("delta").load(str(folder))


def analyses(bench: Bench) -> dict[str, Callable[[], int]]:
    """Return what is measured, by name."""
    made: dict[str, Callable[[], int]] = {
        name: (lambda stage=stage: bench.stage(stage)) for name, stage in STAGES.items()
    }
    return {**made, "theme words": bench.words, "concordance of 3 annotators, 100 images": bench.concordance}


def main(arguments: list[str] | None = None) -> None:
    """Measure and write build/bench/statistics.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="the name of an analysis")
    parser.add_argument("--share", type=float, default=1.0, help="of the paper's size")
    asked = parser.parse_args(arguments)
    size = Size().scaled(asked.share)
    conf = {"spark.sql.shuffle.partitions": "8", "spark.driver.memory": "1500m"}
    spark, _ = open_session("bench", master="local[2]", conf=conf)
    bench, spent, peak = Bench(spark, FOLDER / "statistics", size), 0.0, 0
    for name, analysis in analyses(bench).items():
        if asked.only and name not in asked.only:
            continue
        progress(name)
        with watched() as seen:
            seconds, rows = timed(analysis)
        spent, peak = spent + seconds, max(peak, seen.with_jvm)
        memory = " GiB, ".join(
            f"{what} {size / 2**30:.2f}"
            for what, size in (("peak of Python on the driver", seen.driver), ("with the JVM", seen.with_jvm),
                               ("with the workers", seen.everything))
        ) + " GiB"  # fmt: skip
        keep("statistics", name, Record(f"{name}, {size.rows:,} images: {rows:,} results", seconds, "s", notes=memory))
    if not asked.only:
        of = f"{size.images:,} x {size.dim} of posts, {size.posts:,} posts"
        keep("statistics", "all", _bound(f"all statistics, {of}", spent, "s", SECONDS, "<= 10 minutes"))
        name = "all statistics: peak of the driver, Python and the JVM, which does the executor's work as well"
        keep("statistics", "all", _bound(name, peak / 1e9, "GB", DRIVER, "<= 4 GB"))


def _bound(name: str, value: float, unit: str, bound: float, target: str) -> Record:
    return Record(name, value, unit, target=target, holds=value <= bound)


if __name__ == "__main__":
    main()
