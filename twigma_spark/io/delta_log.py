"""The commits of a Delta table in a folder, read from the files of its log: no Spark job, unlike DESCRIBE HISTORY.

Format: the Delta transaction log protocol, sections "Delta Log Entries" and "Commit Provenance Information".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

LOG = "_delta_log"


@dataclass(frozen=True)
class Commit:
    """One commit of a table.

    Attributes:
        version: Delta version.
        committed: when, in UTC, without a zone.
        rows: rows that the write put out; None where the commit does not say.
        token: `userMetadata` of the commit, by which a writer knows its own.
    """

    version: int
    committed: datetime
    rows: int | None = None
    token: str | None = None


def commits(table: Path, at_most: int) -> Iterator[Commit]:
    """Yield the newest commits of the table in the folder `table`, newest first; none where there is no table.

    Raises:
        ValueError: a commit's file is damaged.
    """
    entries = sorted((p for p in (table / LOG).glob("*.json") if p.stem.isdigit()), reverse=True)
    for entry in entries[:at_most]:
        yield _read(entry)


def _read(entry: Path) -> Commit:
    with entry.open(encoding="utf-8") as lines:
        actions = (json.loads(line) for line in lines)
        info = next((action["commitInfo"] for action in actions if "commitInfo" in action), None)
    if info is None:
        raise ValueError(f"commit {entry} must hold a commitInfo. Got none.")
    rows = info.get("operationMetrics", {}).get("numOutputRows")
    committed = datetime.fromtimestamp(info["timestamp"] / 1000, UTC).replace(tzinfo=None)
    return Commit(int(entry.stem), committed, None if rows is None else int(rows), info.get("userMetadata"))
