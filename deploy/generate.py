"""Writes what follows from STAGES and the metrics: docs/stages.md and docs/metrics.md.

`make deploy-files` runs it; tests/test_wiring.py holds that the files are current.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twigma_spark import metrics
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- stages: make deploy-files -->\n", "<!-- end of stages -->\n"


def files() -> dict[Path, str]:
    """Return the text of each generated file by its path; around the generated part it stays as it is."""
    page = ROOT / "docs/stages.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    return {
        ROOT / "docs/metrics.md": metrics.format_markdown(),
        page: before + START + stage_table() + END + after,
    }


def stage_table() -> str:
    """Return the table of stages of docs/stages.md."""
    waits_for = dependencies(STAGES)
    rows = [
        f"| `{s.name}` | {s.summary} | {_names(waits_for[s.name])} | {_names(s.reads)} | {_names(s.writes)} |\n"
        for s in STAGES
    ]
    return "\n| stage | what it does | waits for | reads | writes |\n|---|---|---|---|---|\n" + "".join(rows) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
