"""The section on what came in: files, kept images, duplicates and rejects of each corpus."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, percent
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result
from twigma_spark.stats.funnel import STEPS

TIERS = ("media", "bytes", "embedding", "near")


def context(data: ReportData) -> dict[str, object]:
    """Return the tiers that occur, in order of strictness, and the paper's funnel of each corpus of posts."""
    tiers = {tier for corpus in data.corpora for tier in corpus.duplicates}
    funnels = {c.name: _funnel(data, c.name) for c in data.corpora}
    return {
        "tiers": [t for t in TIERS if t in tiers] + sorted(tiers - set(TIERS)),
        "vectors": ", ".join(c.name for c in data.corpora if c.are_vectors),
        "funnels": [(name, rows) for name, rows in funnels.items() if rows],
    }


def _funnel(data: ReportData, corpus: str) -> list[Result]:
    """Return what is left after each step, in the order of the steps; those before images where there are posts."""
    left = data.by_label("funnel", "left", "step", corpus=corpus)
    return [left[step] for step in STEPS if step in left and left[step].estimate]


def findings(data: ReportData) -> list[Finding]:
    """Return what became of the files, and an alarm where some are unaccounted for."""
    files, kept = sum(c.files for c in data.corpora), sum(c.kept for c in data.corpora)
    if not files:
        return []
    repeated, rejects = sum(c.repeated for c in data.corpora), sum(c.rejects for c in data.corpora)
    kinds = "image files and vectors" if any(c.are_vectors for c in data.corpora) else "image files"
    came = f"Of {count(files)} {kinds} in {len(data.corpora)} corpora"
    left = f"{count(repeated)} repeat another image and {count(rejects)} could not be used"
    text = f"{came}, {count(kept)} are kept ({percent(kept / files)}); {left}."
    lost = files - kept - repeated - rejects
    if lost:
        text += f" {count(abs(lost))} files are unaccounted for: read the numbers below with care."
    return [Finding(text, "Complete count of files; no interval.")]


SECTION = ReportSection("corpora", "Corpora and funnel", context, findings)
