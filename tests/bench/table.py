"""Tables of the records under docs/bench: `python -m tests.bench.table` writes README's and docs/performance.md again.

README has what was measured beside something else, and the page also what has a target of its own. A record without a
target, or that is only printed, stands in its file alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "bench"
START, END = "<!-- performance: python -m tests.bench.table -->\n", "<!-- end of performance -->\n"
ORDER = ("small_world", "vectors", "statistics", "release", "paper", "reward", "fetch", "inference", "gpu")
PAGE = ROOT / "docs" / "performance.md"
HEAD = "| what | here | beside it | ratio | target |\n|---|---|---|---|---|\n"


def readme() -> str:
    """Return README with its performance table made from the records."""
    return _filled_in(ROOT / "README.md", tables("[records](docs/bench/{})", only_compared=True))


def page() -> str:
    """Return docs/performance.md with its tables made from the records."""
    return _filled_in(PAGE, tables("records: `docs/bench/{}`"))


def tables(records: str, only_compared: bool = False) -> str:
    """Return a table for each processor that has records.

    Args:
        records: how the folder of the records, in place of the braces, is named.
        only_compared: leave out what was measured beside nothing else.
    """
    parts = []
    for folder in sorted(path for path in RECORDS.iterdir() if path.is_dir()):
        found = [record for name in ORDER for record in _records(folder / f"{name}.json")]
        machines = "; ".join(sorted({record["machine"] for record in found}))
        shown = [record for record in found if record["target"] not in ("", "printed")]
        rows = "".join(_row(record) for record in shown if record["ratio"] is not None or not only_compared)
        if rows:
            parts.append(f"\n{machines} ({records.format(folder.name)}):\n\n{HEAD}{rows}\n")
    return "".join(parts)


def _filled_in(path: Path, made: str) -> str:
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    return before + START + made + END + rest.partition(END)[2]


def _records(file: Path) -> list[dict[str, Any]]:
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else []


def _row(record: dict[str, Any]) -> str:
    here = "not measured" if record["value"] is None else f"{_number(record['value'])} {record['unit']}".strip()
    here += f", {record['notes']}" if record["notes"] else ""
    beside = ""
    if record["baseline"] is not None:
        beside = f"{record.get('beside') or 'before'}: {_number(record['baseline'])} {record['unit']}".strip()
    ratio = "" if record["ratio"] is None else _number(record["ratio"])
    missed = " **missed**" if record["holds"] is False else ""
    return f"| {record['name']} | {here} | {beside} | {ratio} | {record['target']}{missed} |\n"


def _number(value: float) -> str:
    """Return a figure with the digits that it was recorded with, thousands apart."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}" if value < 10_000 else f"{value:,.0f}"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
