"""The section on how the page was made: stages, their times, and the versions of packages and models."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.section import ReportSection


def context(data: ReportData) -> dict[str, object]:
    """Return the runs in order of time, how long they took, and each version with the stages that used it."""
    runs = sorted(data.runs, key=lambda r: (r.started_at, r.stage))
    return {
        "runs": runs,
        "seconds": sum(r.seconds for r in runs),
        "longest": max((r.seconds for r in runs), default=0.0) or 1.0,
        "versions": versions(data),
    }


def versions(data: ReportData) -> list[tuple[str, str, str]]:
    """Return (name, version, stages) sorted by name; "all stages" where every stage that names it agrees."""
    used: dict[tuple[str, str], list[str]] = {}
    for run in data.runs:
        for name, version in run.versions.items():
            used.setdefault((name, version), []).append(run.stage)
    everyone = len(data.runs)
    return [
        (n, v, "all stages" if len(stages) == everyone else ", ".join(stages))
        for (n, v), stages in sorted(used.items())
    ]


SECTION = ReportSection("runs", "Provenance", context)
