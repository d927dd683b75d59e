"""Pairs from Parquet files to a training loop: by petastorm or by pyarrow, the same rows in the same order.

What is in memory is a few files and a buffer of rows, whatever the number of pairs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.io.pair_snapshot import Snapshot

Columns = Mapping[str, NDArray[Any]]
# Paths, and the rows of each.
Files = Sequence[tuple[Path, int]]
# Files that are read before they are needed.
AHEAD = 2
# The last pyarrow with the interface that petastorm reads by.
LAST_PYARROW = 14


@dataclass(frozen=True)
class PairFeed:
    """The pairs of a snapshot in batches, for one of several processes.

    Attributes:
        snapshot: the files.
        kind: petastorm or arrow.
        buffer: rows that a batch is drawn from, beside those of the batch.
        seed: of the order.
        rank: of this process; it reads every `size`-th file.
        size: processes.
    """

    snapshot: Snapshot
    kind: str = "arrow"
    buffer: int = 1024
    seed: int = 0
    rank: int = 0
    size: int = 1

    def rows(self, part: str) -> tuple[int, ...]:
        """Return how many rows of the part each process reads."""
        files = self.snapshot.files[part]
        return tuple(sum(rows for _, rows in files[rank :: self.size]) for rank in range(self.size))

    def batches(self, part: str, size: int, epoch: int | None = None) -> Iterator[Columns]:
        """Yield this process's rows of a part, `size` at a time and fewer at the end.

        Args:
            part: of the snapshot.
            size: rows of a batch.
            epoch: number that the order depends on; None for the order of the files.
        """
        own = [(self.snapshot.folder / name, n) for name, n in self.snapshot.files[part][self.rank :: self.size]]
        if not own:
            return
        seed = None if epoch is None else _seed(self.seed, epoch)
        groups = READERS[self.kind](own, seed)
        yield from _rebatch(groups, size) if seed is None else _shuffle(groups, size, self.buffer, seed)


def _seed(seed: int, epoch: int) -> int:
    # Not 0, which petastorm takes for none.
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]) or 1


def choose_reader(wanted: str) -> str:
    """Return petastorm or arrow for `auto`, petastorm or arrow: auto takes petastorm where it runs.

    Raises:
        ModelError: petastorm is asked for, and it or the pyarrow that it needs is not installed.
    """
    if wanted == "arrow":
        return wanted
    reason = why_no_petastorm()
    if reason is None:
        return "petastorm"
    if wanted == "auto":
        return "arrow"
    raise ModelError(f"reward.fine_tune.feed must be arrow {reason}. Got {wanted!r}; {WAY_OUT}.")


# Spark 4 needs a later pyarrow than petastorm has.
WAY_OUT = "on Spark 3.5 run: pip install 'twigma_spark[train]'"


def why_no_petastorm() -> str | None:
    """Return where petastorm cannot run, or None where it can."""
    try:
        version("petastorm")
    except PackageNotFoundError:
        return "where petastorm is not installed"
    installed = version("pyarrow")
    return f"with pyarrow {installed}" if int(installed.split(".")[0]) > LAST_PYARROW else None


def _read_arrow(files: Files, seed: int | None) -> Iterator[Columns]:
    """Yield the columns of each file: as they are given, or in an order drawn by `seed`."""
    # Drawn as petastorm does it.
    order = range(len(files)) if seed is None else np.random.default_rng(seed).permutation(len(files))
    dataset = pyarrow.dataset.dataset([str(files[place][0]) for place in order], format="parquet")
    # A file is a batch: none has as many rows.
    for batch in dataset.to_batches(batch_size=1 << 30, batch_readahead=AHEAD, fragment_readahead=AHEAD):
        if batch.num_rows:
            yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}


def _read_petastorm(files: Files, seed: int | None) -> Iterator[Columns]:
    """Yield the same as `_read_arrow`, read by petastorm.

    Raises:
        ModelError: it ends before all rows came.
    """
    from petastorm import make_batch_reader

    # It reads by an interface that pyarrow 14 says will go, once a file.
    warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")
    urls = [path.absolute().as_uri() for path, _ in files]
    left = sum(rows for _, rows in files)
    reader = make_batch_reader(
        urls, seed=seed, shuffle_row_groups=seed is not None, workers_count=1, results_queue_size=AHEAD
    )
    # Not as a context manager, which prints a line at its end.
    try:
        while left:
            # petastorm 0.13.1 may say that it is done while the last files are still to be read: its reader looks
            # first whether all that was handed out is done, then whether all was handed out. Asked again it goes on.
            group = next(reader, None) or next(reader, None)
            if group is None:
                raise ModelError(
                    f"petastorm must give all rows. {left:,} did not come; set reward.fine_tune.feed: arrow."
                )
            columns = group._asdict()
            left -= len(columns["row"])
            # Texts come as an array as wide as the longest.
            yield {name: part.astype(object) if part.dtype.kind == "U" else part for name, part in columns.items()}
    finally:
        reader.stop()
        reader.join()


READERS: Mapping[str, Callable[[Files, int | None], Iterator[Columns]]] = {
    "arrow": _read_arrow,
    "petastorm": _read_petastorm,
}


def _shuffle(groups: Iterator[Columns], size: int, buffer: int, seed: int) -> Iterator[Columns]:
    """Yield batches whose rows are drawn from those that are read, `buffer` of which at least stay behind each time."""
    rng = np.random.default_rng(seed)
    pool: Columns = {}
    for group in groups:
        pool = _join(pool, group)
        # Parts of one order are as random as an order for each batch, and the rows are moved once a file.
        order = rng.permutation(_length(pool))
        drawn = max(len(order) - buffer, 0) // size * size
        yield from (_take(pool, order[start : start + size]) for start in range(0, drawn, size))
        pool = _take(pool, order[drawn:])
    yield from _cut(_take(pool, rng.permutation(_length(pool))), size)


def _rebatch(groups: Iterator[Columns], size: int) -> Iterator[Columns]:
    """Yield batches of `size` rows in the order of the files."""
    pool: Columns = {}
    for group in groups:
        pool = _join(pool, group)
        whole = _length(pool) // size * size
        yield from _cut(_take(pool, slice(0, whole)), size)
        pool = _take(pool, slice(whole, None))
    yield from _cut(pool, size)


def _cut(rows: Columns, size: int) -> Iterator[Columns]:
    for start in range(0, _length(rows), size):
        yield _take(rows, slice(start, start + size))


def _join(one: Columns, other: Columns) -> Columns:
    return {name: np.concatenate([one[name], other[name]]) for name in other} if one else other


def _take(rows: Columns, places: Any) -> Columns:
    return {name: column[places] for name, column in rows.items()}


def _length(rows: Columns) -> int:
    return len(next(iter(rows.values()))) if rows else 0
