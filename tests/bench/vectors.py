"""The vector engine: k-means, neighbours and duplicates against FAISS, Spark ML and bare scans of the table.

`python -m tests.bench.vectors --rows 805650` runs all; `--only NAME`, several times, some. Every record is
written as soon as it is there; records of other benchmarks in the file stay.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench import vectors_data as data
from tests.bench.book import at_least, at_most, printed, progress, timed
from tests.bench.large_index import large, plan
from tests.bench.memory import watched
from tests.bench.proposals import proposals
from tests.bench.records import FOLDER, Record, alternate, has_amx, keep
from twigma_spark.estimators import faiss_index, index_files, kmeans, neighbour_search
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.coreset import nearest
from twigma_spark.estimators.engines import ENGINES
from twigma_spark.estimators.identical import edges_by_vector
from twigma_spark.estimators.index_types import choose
from twigma_spark.estimators.kmeans import KMeansSpec
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach, close_pairs
from twigma_spark.estimators.search_engines import choose_engine
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import ArtifactFolder, checksum
from twigma_spark.io.session import open_session
from twigma_spark.models import hashes
from twigma_spark.vectors import unit_rows

SEEDS = 5
FAISS_ROUNDS = 20
K, BATCH = 5, 4096
# Batches that are searched in memory too, by bf16, by FAISS with its ties, and by FAISS alone in turn.
ALONE = 9
# Near copies are planted closer than this.
NEAR = "similarity >= 0.97"
# Prints the rate of FAISS Flat in a process of its own, in GFLOP/s.
RATE = """
import statistics, time
import numpy as np
rows = np.random.default_rng(0).standard_normal((60_000, 768), dtype=np.float32)
index = faiss.IndexFlatIP(768)
index.add(rows)
faiss.omp_set_num_threads(2)
seconds = []
for _ in range(5):
    start = time.perf_counter()
    index.search(rows[:4096], 5)
    seconds.append(time.perf_counter() - start)
print(2 * 4096 * 60_000 * 768 / statistics.median(seconds) / 1e9)
"""


@dataclass
class Bench:
    """The session, the sizes and the data of a run; tables are made when they are first asked for."""

    spark: SparkSession
    root: Path
    asked: argparse.Namespace

    @cached_property
    def world(self) -> data.World:
        """The large table: rows x dim, with copies planted."""
        near, exact = (min(n, self.asked.rows // 40) for n in (20_000, 2_000))
        return data.World(self.asked.rows, self.asked.dim, 1, near, exact)

    @cached_property
    def part_world(self) -> data.World:
        """As many rows as Spark ML is given, which is slow."""
        return data.World(min(200_000, self.asked.rows), self.asked.dim, 3)

    @cached_property
    def wide_world(self) -> data.World:
        """More and shorter vectors."""
        return data.World(self.asked.wide_rows, self.asked.wide_dim)

    def table(self, world: data.World) -> DataFrame:
        """Return a world's table, all of it."""
        name = "-".join(str(value) for value in asdict(world).values())
        progress(f"data {world.rows:,} x {world.dim}")
        return data.table(self.spark, self.root / name, world)

    def references(self, dim: int) -> DataFrame:
        """Return another table to search in."""
        return self.table(data.World(self.asked.references, dim, 2))


Benchmark = Callable[[Bench], Iterator[Record]]


def scan(table: DataFrame) -> None:
    """Read the column `embedding` once, through mapInArrow, and do nothing with it."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.record_batch([pa.array([batch.num_rows])], ["n"])

    table.select("embedding").mapInArrow(count, "n BIGINT").agg(F.sum("n")).collect()


def part_of(table: DataFrame, share: float) -> DataFrame:
    """Return about this share of the rows, from every partition."""
    return table if share == 1 else table.where(F.pmod(F.xxhash64("image_id"), F.lit(1000)) < int(1000 * share))


def warm_up(table: DataFrame) -> None:
    """Start the workers and read the table's files, so that neither side of a comparison pays for it."""
    scan(table)
    clustered(table.limit(2000), 2)


def clustered(table: DataFrame, k: int) -> float:
    """Return the mean distance after fitting k clusters and assigning every row."""
    model = kmeans.fit(table, KMeansSpec(k, 7))
    return float(kmeans.assign(table, model).agg(F.avg("distance")).collect()[0][0])


def faiss_clustered(rows: NDArray[np.float32], k: int, seeds: int) -> float:
    """Return the mean distance of FAISS's spherical k-means on all rows; the best of so many seeds."""
    fit = faiss.Kmeans(rows.shape[1], k, niter=FAISS_ROUNDS, nredo=seeds, spherical=True, seed=7,
                       max_points_per_centroid=len(rows))  # fmt: skip
    fit.train(rows)
    centres = unit_rows(fit.centroids)
    parts = (rows[at : at + 65_536] for at in range(0, len(rows), 65_536))
    total = sum(float(np.einsum("ij,ij->", p, centres[nearest(p, centres, "cosine")], dtype=np.float64)) for p in parts)
    return 1.0 - total / len(rows)


def kmeans_10(b: Bench) -> Iterator[Record]:
    """k=10 against two bare scans, and against FAISS on all rows."""
    table, size = b.table(b.world), f"{b.world.rows:,} x {b.world.dim}"
    warm_up(table)
    found: list[float] = []
    with watched() as peak:
        times = alternate(
            lambda: found.append(clustered(table, 10)), lambda: (scan(table), scan(table)), b.asked.rounds
        )
    yield at_most(f"k-means k=10, {size}", times.ours, "s", times.theirs, 1.5, "<= 1.5 of two bare scans")
    yield printed(f"k-means k=10, {size}: peak of all processes", peak.everything / 2**30, "GiB")
    rows = data.array(table, b.world.rows, b.world.dim)
    seconds, theirs = timed(lambda: faiss_clustered(rows, 10, SEEDS))
    target = f"<= 1.002 of FAISS on all rows, best of {SEEDS} seeds"
    yield at_most(f"k-means k=10, {size}: mean distance", found[-1], "cosine", theirs, 1.002, target)
    yield printed(f"k-means k=10, {size}: FAISS, {SEEDS} seeds, without reading the table", seconds, "s")


def kmeans_1000(b: Bench) -> Iterator[Record]:
    """k=1,000 side by side with FAISS on the driver."""
    table, size, k = b.table(b.world), f"{b.world.rows:,} x {b.world.dim}", min(1000, b.world.rows // 40)
    warm_up(table)
    faiss.omp_set_num_threads(b.asked.threads)
    seconds, ours = timed(lambda: clustered(table, k))
    reading, rows = timed(lambda: data.array(table, b.world.rows, b.world.dim))
    fitting, theirs = timed(lambda: faiss_clustered(rows, k, 1))
    name = f"k-means k={k}, {size}: fit and assignment, FAISS with its reading"
    yield at_most(name, seconds, "s", reading + fitting, 0.6, "<= 0.6 of FAISS on all rows, 20 rounds")
    yield printed(f"k-means k={k}, {size}: FAISS without its reading", fitting, "s")
    yield at_most(f"k-means k={k}, {size}: mean distance", ours, "cosine", theirs, 1.005, "<= 1.005 of FAISS's")


def spark_ml(b: Bench) -> Iterator[Record]:
    """Fitting k=10 against Spark ML on a smaller table."""
    world, spec = b.part_world, KMeansSpec(10, 7)
    table = b.table(world)
    warm_up(table)
    theirs, _ = timed(lambda: ENGINES["spark-ml"](table, spec))
    ours, _ = timed(lambda: kmeans.fit(table, spec))
    name = f"k-means k=10, {world.rows:,} x {world.dim}: Spark ML in units of ours"
    yield Record(name, ours, "s", theirs, theirs / ours, ">= 5", theirs / ours >= 5)


def exact(b: Bench) -> Iterator[Record]:
    """The five nearest in the references against FAISS Flat in memory; the driver's memory at three sizes."""
    table, index = b.table(b.world), faiss_index.build(b.references(b.world.dim))
    faiss.omp_set_num_threads(b.asked.threads)
    size, ours = f"of {index.size:,} x {b.world.dim}", 0.0
    for share in b.asked.shares:
        n = int(b.world.rows * share)
        progress(f"exact: {n:,} queries")
        queries = part_of(table, share)
        with watched() as peak:
            ours, _ = timed(lambda q=queries: neighbour_search.search([index], q, K, BATCH))  # type: ignore[misc]
        yield printed(f"exact {K} nearest {size}: driver's peak, {n:,} queries", peak.driver / 2**30, "GiB")
        yield printed(f"exact {K} nearest {size}: peak of all processes, {n:,} queries", peak.everything / 2**30, "GiB")
    rows = data.array(table, b.world.rows, b.world.dim)
    parts = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    theirs, _ = timed(lambda: [index.vectors.search(part, K) for part in parts])
    name = f"exact {K} nearest {size}, {b.world.rows:,} queries"
    yield at_most(name, ours, "s", theirs, 1.15, "<= 1.15 of FAISS Flat in memory")


def bf16(b: Bench) -> Iterator[Record]:
    """The five nearest by bf16 products that are proved, with the reading of the queries, against FAISS Flat."""
    table, plain = b.table(b.world), faiss_index.build(b.references(b.world.dim))
    faiss.omp_set_num_threads(b.asked.threads)
    name = f"exact {K} nearest by bf16 of {plain.size:,} x {b.world.dim}, {b.world.rows:,} queries"
    probing, choice = timed(lambda: choose_engine("auto", [plain], 10**9, 64e9))
    copying, shards = timed(lambda: choice.prepare([plain]))
    if choice.engine != "bf16":
        yield Record(name, None, "s", notes=choice.describe())
        return
    rows = data.array(table, b.world.rows, b.world.dim)
    parts = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    times = alternate(
        lambda: neighbour_search.search(shards, table, K, BATCH),
        lambda: [plain.vectors.search(part, K) for part in parts],
        b.asked.rounds,
    )
    bound = 0.35 if has_amx() else 0.5
    target = f"<= {bound} of FAISS Flat in memory"
    ratio = 1 / times.speedup
    yield Record(
        name,
        times.ours,
        "s",
        times.theirs,
        ratio,
        target,
        ratio <= bound,
        f"medians of {times.rounds}",
        "FAISS Flat in memory",
    )
    proposer = shards[0].proposer
    proved = proposer.proved / proposer.asked if proposer else 0.0
    yield Record(f"{name}: share proved", proved, "of clustered queries", None, None, ">= 0.99", proved >= 0.99)
    path = b.root / "bf16.faiss"
    faiss_index.save(plain, path)
    files = [faiss_index.ShardFile(str(path), checksum(path), bf16=True)]
    found = neighbour_search.search_on_executors(files, table, K, BATCH).agg(F.sum("similarity"))
    seconds, _ = timed(found.collect)
    yield printed(f"{name}: on executors", seconds, "s", times.theirs)
    few = [pa.record_batch([pa.array(range(len(p))).cast("string"), arrow.lists(p)], ["image_id", "embedding"])
           for p in parts[:ALONE]]  # fmt: skip
    yield from _bf16_alone(few, shards, plain, f"{name}: without reading, {sum(map(len, few)):,} of them")
    yield printed(f"{name}: probe", probing, "s")
    yield printed(f"{name}: copy in bf16", copying, "s")


def _bf16_alone(
    batches: list[pa.RecordBatch],
    shards: list[faiss_index.NeighbourIndex],
    plain: faiss_index.NeighbourIndex,
    name: str,
) -> Iterator[Record]:
    """Search some queries in memory in three ways that take turns; equal answers are counted."""
    turns, same = [], 0
    for batch in batches:
        one, ours = timed(partial(_answered, [batch], shards))
        other, theirs = timed(partial(_answered, [batch], [plain]))
        bare, _ = timed(partial(plain.vectors.search, arrow.matrix(batch.column(1)), K))
        turns.append((one, other, bare))
        same += ours == theirs
    one, other, bare = np.median(turns, axis=0)
    yield printed(name, one, "s a batch", bare)
    yield printed(f"{name}: without bf16", other, "s a batch", bare)
    yield Record(f"{name}: batches with the same answers", same, "batches", len(turns), None, "all", same == len(turns))


def _answered(batches: list[pa.RecordBatch], shards: list[faiss_index.NeighbourIndex]) -> list[pa.RecordBatch]:
    return list(neighbour_search.answers(batches, shards, K, BATCH))


def kernels(b: Bench) -> Iterator[Record]:
    """FAISS Flat with the kernels that are asked of its OpenBLAS here, and with those that it takes by itself."""
    ours, theirs = (
        float(subprocess.check_output([sys.executable, "-c", f"{load}\n{RATE}"], text=True))
        for load in ("from twigma_spark.estimators.blas import faiss", "import faiss")
    )
    notes = "medians of 5; equal where OpenBLAS knows the processor"
    yield Record("exact search, 4,096 x 60,000 x 768", ours, "GFLOP/s", theirs, ours / theirs, "printed", None, notes)


def ivf(b: Bench) -> Iterator[Record]:
    """An inverted-file index over the large table: its rate where recall@5 is 0.95, against exact search."""
    table, rows = b.table(b.world), b.world.rows
    queries = b.references(b.world.dim).limit(min(20_000, b.asked.references))
    batches = list(arrow.stream(queries.select("image_id", "embedding")))
    faiss.omp_set_num_threads(b.asked.threads)
    choice = choose(rows, b.world.dim, rows, 64e9, 0.0, f"IVF{max(16, 2 ** round(np.log2(4 * rows**0.5)))},Flat")
    source = index_files.IndexSource("bench", table, rows, {}, 7)
    where = ArtifactFolder(str(b.root / "index"))
    building, (files, _) = timed(lambda: index_files.prepare_index(source, choice, where, []))
    yield printed(f"{choice.factory} of {rows:,} x {b.world.dim}: trained and written", building, "s")
    few = pa.Table.from_batches(batches).slice(0, 1000).to_batches()
    flat = faiss_index.build(table)
    exact_seconds, true = timed(lambda: found_pairs(neighbour_search.answers(few, [flat], K, BATCH)))
    asked, n, nprobe, recall = sum(x.num_rows for x in few), sum(x.num_rows for x in batches), 1, 0.0
    while recall < 0.95 and nprobe <= 4096:
        indexes = [shard.load() for shard in index_files.shard_files(files, nprobe, where)]
        recall = len(true & found_pairs(neighbour_search.answers(few, indexes, K, BATCH))) / len(true)
        progress(f"ivf: nprobe {nprobe}, recall@{K} {recall:.4f}")
        nprobe *= 2
    seconds, _ = timed(lambda: found_pairs(neighbour_search.answers(batches, indexes, K, BATCH)))
    name = f"{choice.factory} of {rows:,} x {b.world.dim}, nprobe {nprobe // 2}, recall@{K} {recall:.3f}"
    target = ">= 10 of the exact rate, recall >= 0.95"
    record = at_least(name, n / seconds, "queries/s", asked / exact_seconds, 10.0, target)
    yield replace(record, holds=bool(record.holds) and recall >= 0.95, beside="exact")
    by_query = [replace(index, lists=None) for index in indexes]
    times = alternate(partial(_answered, batches, indexes), partial(_answered, batches, by_query), b.asked.rounds)
    target = "<= 0.6 of FAISS's search of the same lists"
    record = at_most(f"{name}: list by list, {n:,} queries", times.ours, "s", times.theirs, 0.6, target)
    yield replace(record, notes=f"medians of {times.rounds}", beside="FAISS")


def found_pairs(answers: Iterable[pa.RecordBatch]) -> set[tuple[str, str]]:
    """Return (query, neighbour) of all answers."""
    return {pair for a in answers for pair in zip(a.column(0).to_pylist(), a.column(2).to_pylist(), strict=True)}


def identical(b: Bench) -> Iterator[Record]:
    """Identical embeddings: seconds, and whether all planted ones are found and nothing else."""
    table, size = b.table(b.world), f"{b.world.rows:,} x {b.world.dim}"
    seconds, rows = timed(lambda: edges_by_vector(table, 1e-4, DataFrame.localCheckpoint).collect())
    found, planted = {tuple(sorted((r.a, r.b))) for r in rows}, data.planted(b.world, "exact")
    yield Record(f"identical embeddings, {size}", seconds, "s", 60.0, seconds / 60, "< 60 s", seconds < 60)
    name = f"identical embeddings, {size}: right ones of {len(planted):,} planted"
    yield Record(name, len(found & planted), "pairs", len(planted), None, "all, no other", found == planted)


def near(b: Bench) -> Iterator[Record]:
    """The searches for near-duplicates, by embeddings and by pixel vectors: seconds, recall and precision."""
    pixels = replace(b.world, dim=hashes.DIM)
    searches = {b.world: ("near-duplicates", Reach(0.97, 7)), pixels: ("near-duplicates by pixels", Likeness().pixels)}
    for world, (what, reach) in searches.items():
        table, name = b.table(world).withColumn("turn", F.lit(0)), f"{what}, {world.rows:,} x {world.dim}"
        with watched() as peak:
            seconds, rows = timed(lambda t=table, r=reach: close_pairs(t, b.world.rows, r).where(NEAR).collect())  # type: ignore[misc]
        found, planted = {(r.a, r.b) for r in rows} - data.planted(world, "exact"), data.planted(world, "near")
        yield Record(name, seconds, "s", 600.0, seconds / 600, "< 10 minutes", seconds < 600)
        yield printed(f"{name}: peak of all processes", peak.everything / 2**30, "GiB")
        for measure, whole in (("recall", len(planted)), ("precision", len(found))):
            share = len(found & planted) / max(whole, 1)
            yield Record(f"{name}: {measure}", share, f"of {whole:,}", None, None, ">= 0.99", share >= 0.99)


def wide(b: Bench) -> Iterator[Record]:
    """More and shorter vectors through the same k-means and search: time per element against the smaller run."""
    searched = {b.world: b.part_world, b.wide_world: b.wide_world}
    k_means, search = {}, {}
    for world, queries in searched.items():
        table, asked, index = b.table(world), b.table(queries), faiss_index.build(b.references(world.dim))
        faiss.omp_set_num_threads(b.asked.threads)
        warm_up(table)
        with watched() as peak:
            k_means[world] = timed(lambda t=table: clustered(t, 10))[0] / world.rows  # type: ignore[misc]
            seconds, _ = timed(lambda q=asked, i=index: neighbour_search.search([i], q, K, BATCH))  # type: ignore[misc]
            search[world] = seconds / queries.rows
        size = f"{world.rows:,} x {world.dim}"
        yield printed(f"k-means and search, {size}: peak of all processes", peak.everything / 2**30, "GiB")
    for what, seconds_a_row in (("k-means k=10", k_means), ("exact search", search)):
        smaller, larger = (1e9 * seconds / world.dim for world, seconds in seconds_a_row.items())
        name = f"{what}, {b.wide_world.rows:,} x {b.wide_world.dim}: time per element"
        yield at_most(name, larger, "ns", smaller, 1.3, f"<= 1.3 of that at {b.world.rows:,} x {b.world.dim}")


BENCHMARKS: dict[str, Benchmark] = {
    "kmeans-10": kmeans_10,
    "spark-ml": spark_ml,
    "identical": identical,
    "near": near,
    "kernels": kernels,
    "exact": exact,
    "bf16": bf16,
    "ivf": ivf,
    "kmeans-1000": kmeans_1000,
    "wide": wide,
    "proposals": proposals,
    "plan": plan,
    "large": large,
}


def main() -> None:
    """Run what was asked for, write build/bench/vectors.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), default=[])
    for name, default in (("rows", 805_650), ("dim", 768), ("references", 60_000), ("wide-rows", 5_000_000),
                          ("wide-dim", 64), ("large-rows", 5_000_000), ("shards", 10_000), ("rounds", 1),
                          ("threads", 2)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[1 / 8, 1 / 2, 1.0], help="of the queries; the last is 1"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER / "data", help="of the tables; kept for the next run")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    conf = {"spark.driver.memory": "4g", "spark.sql.execution.arrow.maxRecordsPerBatch": "4096"}
    spark, _ = open_session("bench", master=f"local[{asked.threads}]", conf=conf)
    b = Bench(spark, asked.folder.absolute(), asked)
    for name in asked.only or BENCHMARKS:
        progress(f"{name} begins")
        for record in BENCHMARKS[name](b):
            keep("vectors", name, record)
    spark.stop()


if __name__ == "__main__":
    main()
