"""The tests that kill processes or start clusters of several: `make faults` runs them and keeps what it saw.

They take longer than all others together, so `make test` leaves them out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.records import Record, keep


def main() -> int:
    """Run the tests marked `faults`, write build/bench/faults.json, and return pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "faults", "--verbose", f"--junitxml={report}"]
        status = subprocess.run(command).returncode
        records = list(read_report(report.read_text(encoding="utf-8"))) if report.exists() else []
    for record in records:
        keep("faults", "faults", record)
    return status


def read_report(xml: str) -> Iterator[Record]:
    """Return a record of each test in a report of pytest: its seconds, and whether it passed; None where skipped."""
    for case in ElementTree.fromstring(xml).iter("testcase"):  # noqa: S314 - written by the pytest above
        outcome = {child.tag for child in case}
        passed = None if "skipped" in outcome else not outcome & {"failure", "error"}
        name = case.attrib["name"].removeprefix("test_").replace("_", " ")
        notes = {True: "passed", False: "failed", None: "skipped"}[passed]
        yield Record(name, float(case.attrib["time"]), "s", holds=passed, notes=notes)


if __name__ == "__main__":
    sys.exit(main())
