"""The whole paper in one run: `twigma run --from deduplicate` and `twigma release` on a store of its size.

805,650 images of 623,707 posts, 100,000 generated images, 100,000 photographs and 60,000 works of art, each with a
vector of 768 elements; `tests.bench.paper_data` draws what `ingest`, `embed`, `phash` and `caption` would have left.
`python -m tests.bench.paper` runs a tenth and then all of it, so that the slope of each stage shows; `--size 0.1`,
several times, runs others, and `--set` changes the configuration. All of it takes 30 GB of disk. The targets are 25
minutes and 20 GB for all processes on two cores, and no stage whose time grows faster than the number of images to
the power of 1.1, but for those that say why.

Settings for small data are off, so that both sizes run alike, and stages run one after another (`--parallel`), so that
the seconds, the memory and the bytes of each are its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.bench.book import progress
from tests.bench.memory import Usage, sampled
from tests.bench.paper_data import PAPER
from tests.bench.records import FOLDER, Record, keep
from tests.bench.statistics_data import REFERENCES, Size
from twigma_spark.models.heads import save_linear

NAME, FIRST, RELEASE, ALL = "paper", "deduplicate", "release", "all stages and the release"
CORES, MINUTES, MEMORY, SLOPE = 2, 25.0, 20.0, 1.1
SIZES = (0.1, 1.0)
# Whose vectors these could be: the default of models.image.
MODEL = "open_clip/ViT-L-14/openai"
# Why a stage may grow faster than the number of images.
WHY = {"neighbours": "exact search compares each image of the posts with each of a reference, and both grow"}


@dataclass(frozen=True)
class Spent:
    """What a stage took.

    Attributes:
        seconds: on the clock.
        cpu: of the processor.
        memory: bytes of all processes at their peak.
        java: of the JVM at its peak.
        written: bytes to the disk.
    """

    seconds: float
    cpu: float
    memory: int
    java: int
    written: int


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write build/bench/paper.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, action="append", help="of the paper's size; may be repeated")
    parser.add_argument("--parallel", type=int, default=1, help="stages that run side by side")
    parser.add_argument("--memory", default="4g", help="spark.driver.memory")
    parser.add_argument("--draw", action="store_true", help="only draw the stores")
    parser.add_argument("--log", action="store_true", help="keep Spark's event log, which says what each job read")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of twigma run")
    asked = parser.parse_args(arguments)
    for share in asked.size or SIZES:
        bench = Bench(share, asked.set)
        bench.draw(asked)
        if not asked.draw:
            bench.measure()
    if asked.draw:
        return
    for record in slopes(json.loads((FOLDER / f"{NAME}.json").read_text())):
        keep(NAME, "slope", record)


class Bench:
    """A store of a share of the paper's size, in a folder of its own."""

    def __init__(self, share: float, overrides: Sequence[str]) -> None:
        """Name the folder, and the settings that differ from those of the bench."""
        self.overrides = overrides
        self.share, self.size = share, PAPER if share == 1 else PAPER.scaled(share)
        self.folder = (FOLDER / NAME / str(self.size.rows)).absolute()
        self.conf = self.folder / "conf.yaml"

    def draw(self, asked: argparse.Namespace) -> None:
        """Write the configuration, and draw the store where it is not there yet."""
        progress(f"a store of {self.size.rows:,} images")
        _configure(self.folder, self.conf, asked)
        numbers = [str(n) for n in (self.size.images, self.size.posts, *self.size.references)]
        subprocess.run([sys.executable, "-m", "tests.bench.paper_data", str(self.conf), *numbers], check=True)

    def measure(self) -> None:
        """Run all stages and the release, and keep what they took."""
        _forget(self.folder)
        progress(f"twigma run --from {FIRST}")
        run: list[Usage] = []
        released: list[Usage] = []
        try:
            self._twigma(run, "run", "--from", FIRST)
        finally:  # an end in the middle leaves what there is
            for name, start, end in _stages(self.folder):
                self._keep(_record(name, self.size, spend(_between(run, start, end))))
        progress(f"twigma {RELEASE}")
        self._twigma(released, RELEASE, "--out", str(self.folder / RELEASE))
        self._keep(_record(RELEASE, self.size, spend(released)))
        both = [spend(run), spend(released)]
        record = _record(ALL, self.size, _together(both))
        seconds, peak = sum(each.seconds for each in both), max(each.memory for each in both)
        if self.share == 1:
            holds = seconds <= MINUTES * 60 and peak <= MEMORY * 1e9
            record = replace(record, target=f"<= {MINUTES:.0f} minutes, <= {MEMORY:.0f} GB", holds=holds)
        self._keep(record)

    def _twigma(self, seen: list[Usage], *arguments: str) -> None:
        settings = [word for each in self.overrides for word in ("--set", each)]
        _twigma(self.folder, seen, *arguments, "--conf", str(self.conf), *settings)

    def _keep(self, record: Record) -> None:
        if self.overrides:
            record = replace(record, notes=f"{record.notes}; {', '.join(self.overrides)}")
        keep(NAME, f"{self.share:g}", record)


def spend(seen: Sequence[Usage]) -> Spent:
    """Return what was spent from the first to the last of what was seen."""
    first, last = seen[0], seen[-1]
    return Spent(
        seconds=last.at - first.at,
        cpu=last.cpu - first.cpu,
        memory=max(each.memory for each in seen),
        java=max(each.java for each in seen),
        written=last.written - first.written,
    )


def slopes(records: Sequence[Mapping[str, Any]]) -> Iterator[Record]:
    """Yield for each stage that was measured at both of SIZES by which power of the images its seconds grow."""
    small, large = ({_stage(r): r for r in records if r["part"] == f"{share:g}"} for share in SIZES)
    for name in (name for name in small if name in large):
        fewer, more = _images(small[name]), _images(large[name])
        value = math.log(large[name]["value"] / small[name]["value"]) / math.log(more / fewer)
        what = f"{name}: power of the images, {fewer:,} to {more:,}, by which the seconds grow"
        why = WHY.get(name, "")
        yield Record(what, round(value, 3), "", target=f"<= {SLOPE}", holds=value <= SLOPE or bool(why), notes=why)


def _stage(record: Mapping[str, Any]) -> str:
    return str(record["name"]).rpartition(", ")[0]


def _images(record: Mapping[str, Any]) -> int:
    return int(str(record["name"]).rpartition(", ")[2].split()[0].replace(",", ""))


def _configure(folder: Path, file: Path, asked: argparse.Namespace) -> None:
    """Write the configuration of a run into a folder, with what it names."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng, head = np.random.default_rng(1), folder / "nsfw.safetensors"
    # Some seven in a hundred images score above 0.5.
    save_linear(head, 3 * rng.standard_normal(PAPER.dim), -4.5, {"embedding_model": MODEL, "link": "sigmoid"})
    corpora = {"posts": "posts", **REFERENCES}
    spark = {"spark.driver.memory": asked.memory, "spark.local.dir": str(folder / "shuffle")}
    if asked.log:
        (folder / "log").mkdir(exist_ok=True)
        spark |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "log").as_uri()}
    conf = {
        "store": {"root": str(folder / "tables")},
        "spark": {
            "master": f"local[{CORES}]",
            "short_session": False,
            "conf": spark,
        },
        "run": {"parallel": asked.parallel, "events": str(folder / "events.jsonl")},
        "corpora": [{"name": name, "role": role, "path": str(folder / "images")} for name, role in corpora.items()],
        "models": {"scores": {"nsfw": {"kind": "linear", "path": str(head)}}},
        # Each fold is a training of its own, whose time grows with the pairs.
        "reward": {"tested": 2},
        "report": {"path": str(folder / "report.html")},
        "release": {"fields": "all", "reason": "a measurement", "platform": "x"},
    }
    file.write_text(yaml.safe_dump(conf, sort_keys=False))


def _forget(folder: Path) -> None:
    """Remove what a run before has left; the drawn tables stay."""
    drawn = json.loads((folder / "tables" / "drawn.json").read_text())
    for place in (*(folder / "tables").iterdir(), folder / RELEASE):
        if place.is_dir() and place.name not in drawn:
            shutil.rmtree(place)
    (folder / "events.jsonl").unlink(missing_ok=True)


def _twigma(folder: Path, seen: list[Usage], *arguments: str) -> None:
    """Run a command, and add to `seen` what it and all that it starts used, several times a second."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", "from twigma_spark.cli.main import main; main()", *arguments]
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
    env.pop("OMP_NUM_THREADS", None)  # as users have it: one for each of the cores
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    with subprocess.Popen(
        command, cwd=folder, env=env, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    ) as process, sampled(process.pid) as samples:  # fmt: skip
        try:
            code = process.wait()
        finally:
            seen += [each for each in samples if each.memory]
    if code:
        raise RuntimeError(f"twigma {arguments[0]} must end well. Got the code {code}.")


def _stages(folder: Path) -> Iterator[tuple[str, float, float]]:
    """Yield each stage of a run with the times of its start and its end."""
    began = {}
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        at = datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
        if event["event"] == "stage_started":
            began[event["stage"]] = at
        elif event["event"] == "stage_ended":
            yield event["stage"], began[event["stage"]], at


def _between(seen: Sequence[Usage], start: float, end: float) -> list[Usage]:
    """Return what was seen within a time, with what was seen last before it."""
    before = [each for each in seen if each.at <= start][-1:]
    inside = [replace(each, memory=0, java=0, at=start) for each in before] + [e for e in seen if start < e.at < end]
    return [*inside, replace(inside[-1], at=end)]


def _together(parts: Sequence[Spent]) -> Spent:
    seconds, cpu = sum(each.seconds for each in parts), sum(each.cpu for each in parts)
    memory, java = max(each.memory for each in parts), max(each.java for each in parts)
    return Spent(seconds, cpu, memory, java, sum(each.written for each in parts))


def _record(name: str, size: Size, spent: Spent) -> Record:
    notes = (
        f"{size.rows / spent.seconds:,.0f} images/s; {spent.cpu:,.1f} s of the processor; peak of all processes "
        f"{spent.memory / 1e9:.2f} GB, of these the JVM {spent.java / 1e9:.2f}; {spent.written / 1e9:.2f} GB written"
    )
    return Record(f"{name}, {size.rows:,} images", round(spent.seconds, 2), "s", notes=notes)


if __name__ == "__main__":
    main()
