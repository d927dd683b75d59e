"""The commits of a Delta table in a folder, read from the files of its log: no Spark job, unlike DESCRIBE HISTORY.

Format: the Delta transaction log protocol, sections "Delta Log Entries" and "Commit Provenance Information".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twigma_spark.errors import StoreError

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
        StoreError: a commit's file is damaged: empty or cut off.
    """
    entries = sorted((p for p in (table / LOG).glob("*.json") if p.stem.isdigit()), reverse=True)
    for entry in entries[:at_most]:
        yield _read(entry)


def _read(entry: Path) -> Commit:
    try:
        actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        info = next((action["commitInfo"] for action in actions if "commitInfo" in action), None)
    except (ValueError, TypeError) as error:
        raise _damage_error(entry, f"it is cut off ({error})") from error
    if info is None:
        raise _damage_error(entry, "it is empty" if not actions else "it has no commitInfo")
    rows = info.get("operationMetrics", {}).get("numOutputRows")
    committed = datetime.fromtimestamp(info["timestamp"] / 1000, UTC).replace(tzinfo=None)
    return Commit(int(entry.stem), committed, None if rows is None else int(rows), info.get("userMetadata"))


def _damage_error(entry: Path, what: str) -> StoreError:
    table, checksum = entry.parent.parent, entry.with_name(f".{entry.name}.crc")
    return StoreError(
        f"the newest commit of table {table.name!r} must be whole. Got {str(entry)!r}: {what}. Remove that file and "
        f"{checksum.name} beside it, where there is one; the table is then that of the commit before. Run again: its "
        "stage computes what is missing."
    )
