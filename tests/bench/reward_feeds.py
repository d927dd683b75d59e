"""The feeds of pairs: an epoch of training from Parquet files by each reader, against the same loop on arrays."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.bench.records import Record, alternate, keep
from twigma_spark.io.pair_feed import PairFeed, choose_reader
from twigma_spark.io.pair_snapshot import Snapshot, write_files
from twigma_spark.models.pair_inputs import Columns, PairBatch, PairInputs, VectorPairs
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward_fit import Feed, Trainer
from twigma_spark.models.reward_head import new_network

PAIRS, DIM, HELD_OUT = 200_000, 512, 1000
ROUNDS = 3
NAMES = ("text", "preferred", "other")


def main(pairs: int = PAIRS) -> None:
    """Write build/bench/reward.json."""
    with tempfile.TemporaryDirectory(prefix="twigma-bench-") as scratch:
        for record in feeds(Path(scratch), pairs):
            keep("reward", "feeds", record)


def feeds(folder: Path, pairs: int) -> Iterator[Record]:
    """Yield the rate of each feed, in pairs a second, beside that of the arrays."""
    snapshot = _snapshot(folder, pairs)
    arrays = Arrays.of(snapshot)
    for kind in ("arrow", "petastorm"):
        choose_reader(kind)
        feed = PairFeed(snapshot, kind, buffer=4096)
        times = alternate(lambda f=feed: _epoch(f, VectorPairs()), lambda: _epoch(arrays, arrays), ROUNDS)
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        yield Record(
            f"an epoch of {pairs:,} pairs of 3 x {DIM} numbers by {kind}", pairs / times.ours, "pairs/s",
            pairs / times.theirs, times.speedup, ">= 0.8", times.speedup >= 0.8,
            f"medians of {ROUNDS}; files of {size / 1e6:,.0f} MB", "the same loop on float32 arrays in memory",
        )  # fmt: skip


@dataclass(frozen=True)
class Arrays:
    """The same pairs as float32 arrays: a feed of row numbers, and the inputs that gather them."""

    columns: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Arrays:
        """Return the pairs of a snapshot, read whole."""
        found: dict[str, dict[str, Any]] = {}
        for part in ("train", "validation"):
            (batch,) = VectorPairs().stream(PairFeed(snapshot).batches(part, 1 << 30))
            images = batch.images.chunk(2)
            found[part] = {"text": batch.texts, "preferred": images[0], "other": images[1], "weight": batch.weight}
        return cls(found)

    def rows(self, part: str) -> tuple[int, ...]:
        """Return how many rows a part has."""
        return (len(self.columns[part]["weight"]),)

    def batches(self, part: str, size: int, epoch: int | None = None) -> Iterator[Columns]:
        """Yield part and row numbers."""
        n = self.rows(part)[0]
        order = np.arange(n) if epoch is None else np.random.default_rng(epoch).permutation(n)
        for start in range(0, n, size):
            yield {"part": part, "row": order[start : start + size]}

    def stream(self, batches: Iterable[Columns]) -> Iterator[PairBatch]:
        """Yield the rows of the arrays."""
        import torch

        for batch in batches:
            own, rows = self.columns[batch["part"]], torch.from_numpy(batch["row"])
            images = torch.cat([own["preferred"][rows], own["other"][rows]])
            yield PairBatch(own["text"][rows], images, own["weight"][rows], batch["row"])


def _epoch(feed: Feed, inputs: PairInputs) -> None:
    network, spec = new_network(DIM), TrainingSpec(epochs=1, patience=1)
    Trainer(network, network.parameter_groups(spec.learning_rate, spec.weight_decay), inputs, feed, spec).fit()


def _snapshot(folder: Path, pairs: int) -> Snapshot:
    for part in ("train", "validation"):
        (folder / part).mkdir()
    found = list(write_files(_batches(pairs), folder, 0))
    files = {part: tuple((name, rows) for own, name, rows in found if own == part) for part in ("train", "validation")}
    return Snapshot(folder, files, {})


def _batches(pairs: int, size: int = 5000) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(0)
    for start in range(0, pairs + HELD_OUT, size):
        rows = np.arange(start, min(start + size, pairs + HELD_OUT))
        columns = {
            "part": np.where(rows < HELD_OUT, "validation", "train"),
            "row": rows,
            "weight": np.ones(len(rows), np.float32),
        }
        for name in NAMES:
            made = rng.standard_normal((len(rows), DIM), dtype=np.float32)
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            columns[name] = pa.array([row.tobytes() for row in made.astype("<f2")], pa.binary())
        yield pa.RecordBatch.from_pydict(columns)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
