"""What is made of a finished store at the paper's size: a release, an atlas and the report.

Of 805,650 images of 623,707 posts, and three references of 20,000. `python -m tests.bench.release`; `--only NAME` one
of them, `--share 0.01` on less. There is no other side to compare with: the targets are three minutes for release and
atlas, one minute and 25 MB for the report, and 2 GB for the driver. The tables are those of `tests.bench.statistics`,
with vectors of 8 elements, since nothing here reads them. Pictures are 200 drawings, each the file of many images:
15 GB in the table `images`, as a store has them, and 1 GB in `thumbnails`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench.book import progress, timed
from tests.bench.memory import watched
from tests.bench.records import FOLDER, Record, keep
from tests.bench.statistics import Bench
from tests.bench.statistics_data import THEMES, WORDS, Size, stored, thumbnails, with_pictures
from twigma_spark.atlas import build_atlas
from twigma_spark.config.release import Release
from twigma_spark.io.session import open_session, picture_batches, small_pages
from twigma_spark.io.tables import Store
from twigma_spark.release.build import build_release
from twigma_spark.report.render import render
from twigma_spark.schemas import TABLES
from twigma_spark.stages.report import STAGE, collect

DRIVER, DIM = 2.0, 8


def main(arguments: list[str] | None = None) -> None:
    """Measure and write build/bench/release.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the paper's size")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="one of them; may be repeated")
    asked = parser.parse_args(arguments)
    size = Size(dim=DIM).scaled(asked.share)
    spark, _ = open_session("bench", master="local[2]", conf={"spark.driver.memory": "1g"})
    bench = Bench(spark, FOLDER / "statistics", size)
    frames = _frames(spark, bench)
    for name in asked.only or PARTS:
        progress(name)
        with watched() as seen:
            record = PARTS[name](bench, frames)
        keep("release", name, record)
        peak = seen.with_jvm / 1e9
        what = f"{record.name}: peak of the driver, Python and the JVM, which does the executor's work as well"
        keep("release", f"{name} memory", Record(what, peak, "GB", target="< 2 GB", holds=peak < DRIVER))


def _frames(spark: SparkSession, bench: Bench) -> dict[str, DataFrame]:
    """Return every table of a store; those that nothing was drawn for are empty."""
    images = bench.tables["images"]
    lump = F.pmod(F.xxhash64("image_id", F.lit("lump")), F.lit(40))
    # Forty lumps of normal deviates (Box & Muller), from the row alone.
    far = F.sqrt(-2 * F.log(_dice("far", "image_id"))) * 0.6
    turn = 2 * np.pi * _dice("turn", "image_id")
    place = images.select(
        "image_id", "corpus", (20 * _dice("x", lump) + far * F.cos(turn)).alias("x"),
        (20 * _dice("y", lump) + far * F.sin(turn)).alias("y"),
    )  # fmt: skip
    served = images.where("media_key IS NOT NULL").select(
        "media_key", "post_id", F.lit(0).alias("position"), "corpus",
        F.concat(F.lit("https://host/media/"), "media_key", F.lit(".jpg")).alias("url"),
        *[F.lit(None).cast(kind).alias(name)
          for name, kind in (("type", "string"), ("width", "int"), ("height", "int"), ("alt_text", "string"))],
    )  # fmt: skip
    words = [
        ("themes", k, n + 1, WORDS[(7 * k + n) % len(WORDS)], 1.0 / (n + 1)) for k in range(THEMES) for n in range(5)
    ]
    empty = {name: spark.createDataFrame([], TABLES[name].schema) for name in TABLES}
    drawn = {
        "projection": place, "media": served, "images": with_pictures(images),
        "thumbnails": thumbnails(spark, images),
    }  # fmt: skip
    known = {}
    for name, made in drawn.items():
        with picture_batches(spark, 128), small_pages(spark, TABLES[name].page_rows):
            known[name] = stored(spark, bench.folder / f"{name}-drawn", lambda made=made: made)
    return {**empty, **bench.tables, **known, "themes": spark.createDataFrame(words, TABLES["themes"].schema)}


def _dice(salt: str, of: str | Column) -> Column:
    """Return a number from 0 (never that itself) to 1 that depends on the row alone."""
    return (F.pmod(F.xxhash64(of, F.lit(salt)), F.lit(1_000_003)) + 0.5) / 1_000_003


def _store(bench: Bench, frames: dict[str, DataFrame]) -> Store:
    filled = {*bench.tables, "projection", "media"} - {"duplicates"}
    made = SimpleNamespace(
        spark=bench.spark, read=frames.__getitem__, count=lambda name: int(name in filled), version=lambda name: 0,
        root=str(FOLDER / "store"),
    )  # fmt: skip
    return cast(Store, cast(Any, made))


def _release(bench: Bench, frames: dict[str, DataFrame]) -> Record:
    cfg = bench.cfg.model_copy(update={"release": Release(fields="all", reason="a measurement", platform="x")})
    on_map = {**frames, "projection": frames["projection"].where(F.col("corpus").isin(cfg.of_role("posts")))}
    out = FOLDER / "release"
    shutil.rmtree(out, ignore_errors=True)
    seconds, facts = timed(lambda: build_release(cfg, _store(bench, on_map), out, None, progress))
    name = f"a release of {facts.counts.images:,} images with {len(facts.fields)} columns, CSV and Parquet"
    return _timed(name, seconds, 180, f"{sum(part.n_bytes for part in facts.files) / 1e6:,.0f} MB")


def _atlas(bench: Bench, frames: dict[str, DataFrame]) -> Record:
    out = FOLDER / "atlas"
    shutil.rmtree(out, ignore_errors=True)
    store = Store(bench.spark, str(FOLDER / "atlas-store"))
    store.read = frames.__getitem__  # type: ignore[method-assign]
    store.count = lambda name: bench.size.rows if name == "projection" else 0  # type: ignore[method-assign]
    seconds, made = timed(lambda: build_atlas(bench.cfg, store, out, progress))
    name = f"an atlas of {made.rows.rows:,} images with pictures and neighbours"
    return _timed(name, seconds, 180, f"{made.rows.n_bytes / 1e6:,.0f} MB")


def _report(bench: Bench, frames: dict[str, DataFrame]) -> Record:
    tables = {name: frames[name] for name in STAGE.reads}
    spent = {}

    def make() -> str:
        spent["tables"], data = timed(lambda: collect(bench.cfg, bench.spark, tables, datetime.now(UTC)))
        spent["page"], html = timed(lambda: render(data))
        return str(html)

    seconds, html = timed(make)
    out = FOLDER / "report.html"
    out.write_text(html, encoding="utf-8")
    n_bytes = out.stat().st_size
    bound = Record("the report's file", n_bytes / 1e6, "MB", target="< 25 MB", holds=n_bytes < 25e6)
    keep("release", "report size", bound)
    notes = f"{spent['tables']:.0f} s for what it shows, {spent['page']:.0f} s for the page"
    return _timed(f"the report of {frames['projection'].count():,} images", seconds, 60, notes)


def _timed(name: str, seconds: float, most: float, notes: str) -> Record:
    return Record(name, seconds, "s", target=f"< {most:.0f} s", holds=seconds < most, notes=notes)


PARTS: dict[str, Callable[[Bench, dict[str, DataFrame]], Record]] = {
    "release": _release, "atlas": _atlas, "report": _report,
}  # fmt: skip


if __name__ == "__main__":
    main()
