"""Vectors of clip-retrieval: from its files through `ingest` and `embed` into the tables, and what the driver holds.

`python -m tests.bench.imported_vectors`; `--rows 1000000 --dim 512 --files 10`. A quarter of the rows is imported
first: where the driver held the vectors, its memory would grow with them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from tests.bench.book import progress, timed
from tests.bench.memory import watched
from tests.bench.records import Record, keep
from twigma_spark import pipeline
from twigma_spark.config.settings import Config
from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store
from twigma_spark.vectors import unit_rows

MODEL = {"kind": "open_clip", "name": "ViT-B-32", "pretrained": "openai"}
STAGES, PART = ["ingest", "embed"], "imported vectors"
# Of the vectors' own size, by which the driver's Python may grow; what it does beside them is not the same each time.
GROWTH = 0.25


@dataclass(frozen=True)
class Imported:
    """An import: seconds, rows of `embeddings`, and the driver's peaks in bytes, without and with its JVM."""

    seconds: float
    rows: int
    driver: int
    with_jvm: int


def write_vectors(root: Path, rows: int, dim: int, files: int) -> None:
    """Write what clip-retrieval does: half precision, and a row of metadata each."""
    rng = np.random.default_rng(11)
    themes = rng.standard_normal((100, dim), dtype=np.float32)
    for folder in ("img_emb", "metadata"):
        (root / folder).mkdir(parents=True)
    for number, count in enumerate(np.diff(np.linspace(0, rows, files + 1).astype(int))):
        vectors = themes[rng.integers(0, 100, count)] + rng.standard_normal((count, dim), dtype=np.float32)
        np.save(root / "img_emb" / f"img_emb_{number:04}.npy", vectors.astype(np.float16))
        names = [f"{number:05}{n:06}" for n in range(count)]
        table = pa.table({"image_path": names, "caption": [f"a picture of {name}" for name in names]})
        pq.write_table(table, root / "metadata" / f"metadata_{number:04}.parquet")


def import_all(spark: SparkSession, root: Path, store: Path) -> Imported:
    """Return what the two stages took for a folder of vectors."""
    corpus = {"name": "vectors", "role": "natural", "reader": "clip_retrieval", "path": str(root),
              "embedded_by": "open_clip/ViT-B-32/openai"}  # fmt: skip
    cfg = Config.model_validate({"store": {"root": str(store)}, "corpora": [corpus], "models": {"image": MODEL}})
    tables = Store(spark, str(store))
    with watched() as peak:
        seconds, _ = timed(lambda: pipeline.run(cfg, tables, pipeline.select(STAGES), progress))
    return Imported(seconds, tables.count("embeddings"), peak.driver, peak.with_jvm)


def import_in_memory(root: Path, out: Path) -> int:
    """Return how many vectors one process reads, scales to length 1 and writes as Parquet, a file after another."""
    n = 0
    for file in sorted((root / "img_emb").glob("*.npy")):
        vectors = unit_rows(np.load(file).astype(np.float32))
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        pq.write_table(pa.table({"embedding": flat}), out / f"{file.stem}.parquet")
        n += len(vectors)
    return n


def measure(spark: SparkSession, asked: argparse.Namespace, folder: Path) -> Iterator[Record]:
    """Yield the time of an import, and by how much the driver's memory grows with the rows."""
    some, all_of_it = asked.rows // 4, f"{asked.rows:,} x {asked.dim} vectors"
    for name, rows in (("some", some), ("all", asked.rows)):
        progress(f"writing {rows:,} vectors")
        write_vectors(folder / name, rows, asked.dim, asked.files)
    few = import_all(spark, folder / "some", folder / "store-some")
    many = import_all(spark, folder / "all", folder / "store-all")
    (folder / "plain").mkdir()
    theirs, n = timed(lambda: import_in_memory(folder / "all", folder / "plain"))
    beside = "NumPy and pyarrow in one process, vectors alone"
    yield Record(
        f"import of {all_of_it}: ingest and embed", many.seconds, "s", theirs, many.seconds / theirs, "printed",
        notes=f"{many.rows:,} rows of embeddings for {n:,} vectors; {many.rows / many.seconds:,.0f} a second",
        beside=beside,
    )  # fmt: skip
    yield Record(f"import of {all_of_it}: rows", many.rows, "rows", n, many.rows / n, "all", many.rows == n)
    size = (asked.rows - some) * asked.dim * 4
    growth = (many.driver - few.driver) / size
    target = f"grows by less than {GROWTH:.0%} of the vectors that {asked.rows - some:,} more rows have"
    yield Record(
        f"import of {all_of_it}: peak of the driver's Python", many.driver / 2**20, "MiB", few.driver / 2**20, growth,
        target, growth < GROWTH, f"growth as a share of {size / 2**20:,.0f} MiB", f"{some:,} rows",
    )  # fmt: skip
    yield Record(
        f"import of {all_of_it}: peak of the driver with its JVM, in which the tasks run too", many.with_jvm / 2**20,
        "MiB", few.with_jvm / 2**20, many.with_jvm / few.with_jvm, "printed", beside=f"{some:,} rows",
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure and write build/bench/vectors.json, in which the other records stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--files", type=int, default=10)
    asked = parser.parse_args(arguments)
    spark, _ = open_session("bench", master="local[2]", conf={"spark.driver.memory": "2g"})
    with tempfile.TemporaryDirectory() as folder:
        for record in measure(spark, asked, Path(folder)):
            keep("vectors", PART, record)
    spark.stop()


if __name__ == "__main__":
    main()
