"""Peak memory of the inner loop: over the first images and over ten times as many after them.

Alone it is the process that is measured: `python -m tests.bench.worker_memory FIRST ALL` prints both peaks in MB.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.pictures import DIFFERENT, jpeg
from tests.bench.records import Record
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.runner import run_batches

ROWS = 128  # of an Arrow batch


def flat(first: int, total: int) -> Record:
    """Return the peak after `total` images against the peak of the `first`, of a process of its own."""
    command = [sys.executable, "-m", "tests.bench.worker_memory", str(first), str(total)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    early, late = json.loads(ended.stdout.splitlines()[-1])
    name = f"peak memory of the inner loop, sample:clip, {first:,} to {total:,} images against the first {first:,}"
    return Record(name, late, "MB", early, late / early, "<= 1.05", late / early <= 1.05)


def measured(first: int, total: int) -> tuple[float, float]:
    """Return the peak of this process in MB over the first images, and over the rest."""
    loaded = ClipImage(ClipSource(path="sample:clip")).setup(threads=1)
    some = [jpeg(seed, 96 + 4 * seed) for seed in range(DIFFERENT)]

    def batches() -> Iterator[list[bytes]]:
        for at in range(0, total, ROWS):
            # Copies, as a worker is given bytes of its own with each batch.
            yield [bytes(bytearray(some[n % DIFFERENT])) for n in range(at, min(at + ROWS, total))]

    done, early = 0, 0.0
    for result in run_batches(batches(), loaded, batch_size=32):
        before, done = done, done + len(result.values)
        if before < first <= done:
            early = _peak()
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    return early, _peak()


def _peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), int(sys.argv[2]))))
