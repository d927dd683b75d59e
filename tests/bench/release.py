"""A release at the paper's size: 805,650 images of 623,707 posts, all fields, and the driver's memory meanwhile.

`python -m tests.bench.release`; `--share 0.01` on less. There is no other side to compare with: the target is three
minutes, and 2 GB for the driver. The tables are those of `tests.bench.statistics`.
"""

from __future__ import annotations

import argparse
import shutil
from types import SimpleNamespace
from typing import Any, cast

from pyspark.sql import functions as F

from tests.bench.book import progress, timed
from tests.bench.memory import watched
from tests.bench.records import FOLDER, Record, keep
from tests.bench.statistics import Bench
from tests.bench.statistics_data import Size
from twigma_spark.config.release import Release
from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store
from twigma_spark.release.build import build_release
from twigma_spark.schemas import TABLES

SECONDS, DRIVER = 180.0, 2.0


def main(arguments: list[str] | None = None) -> None:
    """Measure and write build/bench/release.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the paper's size")
    share = parser.parse_args(arguments).share
    full = Size()
    size = Size(*(max(400, int(n * share)) for n in (full.images, full.tweets, full.reference)), full.dim)
    spark, _ = open_session("bench", master="local[2]", conf={"spark.driver.memory": "1g"})
    bench = Bench(spark, FOLDER / "statistics", size)
    cfg = bench.cfg.model_copy(update={"release": Release(fields="all", reason="a measurement", platform="x")})
    posts = cfg.of_role("posts")
    images = bench.tables["images"].where(F.col("corpus").isin(posts))
    place = images.select("image_id", "corpus", F.rand(1).alias("x"), F.rand(2).alias("y"))
    served = images.where("media_key IS NOT NULL").select(
        "media_key", "tweet_id", F.lit(0).alias("position"), "corpus",
        F.concat(F.lit("https://host/media/"), "media_key", F.lit(".jpg")).alias("url"),
        *[F.lit(None).cast(kind).alias(name)
          for name, kind in (("type", "string"), ("width", "int"), ("height", "int"), ("alt_text", "string"))],
    )  # fmt: skip
    empty = {name: spark.createDataFrame([], TABLES[name].schema) for name in TABLES}
    frames = {**empty, **bench.tables, "projection": place, "media": served}
    filled = {*bench.tables, "projection", "media"} - {"duplicates"}
    store = SimpleNamespace(
        spark=spark, read=frames.__getitem__, count=lambda name: int(name in filled), version=lambda name: 0
    )
    out = FOLDER / "release"
    shutil.rmtree(out, ignore_errors=True)
    with watched() as seen:
        seconds, facts = timed(lambda: build_release(cfg, cast(Store, cast(Any, store)), out, None, progress))
    name = f"a release of {facts.counts.images:,} images with {len(facts.fields)} columns, CSV and Parquet"
    notes = f"{sum(part.n_bytes for part in facts.files) / 1e6:,.0f} MB"
    keep("release", "release", Record(name, seconds, "s", target="< 3 min", holds=seconds < SECONDS, notes=notes))
    peak = seen.with_jvm / 1e9
    what = f"{name}: peak of the driver, Python and the JVM, which does the executor's work as well"
    keep("release", "memory", Record(what, peak, "GB", target="< 2 GB", holds=peak < DRIVER))


if __name__ == "__main__":
    main()
