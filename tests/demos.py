"""The sample world somewhere else, in S3 or on a cluster, beside the store of `make demo`: what such tries share."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.same_tables import OTHER_EACH_TIME, TOLERANCE, differences
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES

ROOT = Path(__file__).resolve().parents[1]
TWIGMA = (sys.executable, "-c", "from twigma_spark.cli.main import main; main()")
SMALL = ROOT / "tests" / "jobs" / "small.yaml"


@dataclass(frozen=True)
class Demo:
    """A finished run of the sample on this machine.

    Attributes:
        folder: of its files, tables and report.
        overlays: configurations that it has beside conf/sample.yaml.
        size: of the sample world where it is another than that of `make demo`.
    """

    folder: Path
    overlays: tuple[Path, ...] = ()
    size: int | None = None

    def configuration(self, place: str) -> dict[str, Any]:
        """Return the configuration with all paths below another place; the sample is not drawn there."""
        text = (ROOT / "conf" / "sample.yaml").read_text(encoding="utf-8").replace("build/demo", place)
        settings: dict[str, Any] = yaml.safe_load(text)
        del settings["sample"]
        return settings

    def confs(self, own: Path) -> list[str]:
        """Return the words that name a configuration and the overlays."""
        return [word for path in (own, *self.overlays) for word in ("--conf", str(path))]


def parse(arguments: Sequence[str], what: str) -> tuple[Demo, list[str]]:
    """Return the run on this machine, made now where there is none, and the arguments that are for `twigma run`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--size", type=int, help="images of a smaller sample world, with fewer resamples")
    own, others = parser.parse_known_args(arguments)
    if own.size is None:
        demo = Demo(ROOT / "build" / "demo")
        if not (demo.folder / "report.html").exists():
            subprocess.run([*TWIGMA, "demo"], cwd=ROOT, check=True)
        return demo, others
    demo = Demo(ROOT / "build" / f"demo-{own.size}", (SMALL,), own.size)
    if not (demo.folder / "report.html").exists():
        demo.folder.mkdir(parents=True, exist_ok=True)
        text = (ROOT / "conf" / "sample.yaml").read_text(encoding="utf-8").replace("build/demo", str(demo.folder))
        conf = demo.folder / "sample.yaml"
        conf.write_text(text.replace("sample: {out:", f"sample: {{size: {own.size}, out:"), encoding="utf-8")
        subprocess.run([*TWIGMA, "run", *demo.confs(conf)], cwd=ROOT, check=True)
    return demo, others


def print_differences(demo: Store, own: Store) -> bool:
    """Return whether a table that was written differs from that of the demo; says which and in what."""
    names = [name for name in TABLES if name not in OTHER_EACH_TIME and own.exists(name)]
    wrong = [name for name in names if not _is_same(demo, own, name)]
    verdict = f"differ in {', '.join(wrong)}" if wrong else f"are those of the demo; reals within {TOLERANCE}"
    print(f"{len(names)} tables {verdict}")
    return bool(wrong) or not names


def _is_same(demo: Store, own: Store, name: str) -> bool:
    texts = differences(demo, own, name)
    print(f"  {name:<20} {'the same' if not texts else '; '.join(texts)}", flush=True)
    return not texts
