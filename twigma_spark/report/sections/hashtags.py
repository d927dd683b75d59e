"""The section on further hashtags: candidates for the next collection, with pictures of each."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, number
from twigma_spark.report.section import Finding, ReportSection


def context(data: ReportData) -> dict[str, object]:
    """Return whether the images of any candidate were judged."""
    return {"judged": any(each.judged for each in data.hashtags)}


def findings(data: ReportData) -> list[Finding]:
    """Return the first candidate, where it comes with a current hashtag more often than by chance."""
    if not data.hashtags or data.hashtags[0].lift_low <= 1:
        return []
    best = data.hashtags[0]
    text = (
        f"Posts with #{best.hashtag} have one of the hashtags that were collected {number(best.lift)} times as often "
        "as by chance; it is the first candidate for a further one."
    )
    interval = f"[{number(best.lift_low)}, {number(best.lift_high)}]"
    n = f"{count(best.together)} posts of {count(best.authors)} authors"
    basis = f"Lift, 95% interval {interval}, delta method; {n}."
    return [Finding(text, basis)]


SECTION = ReportSection("hashtags", "Further hashtags", context, findings)
