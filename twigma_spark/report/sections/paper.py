"""The section that puts this run beside the paper: what TWIGMA says, what is found here, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from twigma_spark.report.courses import arrows
from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count, interval, number, percent_ends, signed_percent
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

# Chen & Zou 2023, abstract and section 2.
IMAGES, TWEETS = 805_650, 623_707
AGREES, DIFFERS, OPEN, ABSENT = "agrees", "differs", "not decided", "not computed"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and what this run has on it.

    Attributes:
        stated: what the paper says.
        here: the same of this run, with its interval.
        verdict: whether sign and interval agree.
    """

    stated: str
    here: str
    verdict: str


def claims(data: ReportData) -> list[Claim]:
    """Return the paper's statements in its order; none where the corpora do not play the paper's roles."""
    if not data.of_role("posts") or not data.of_role("natural", "art"):
        return []
    parts: tuple[Callable[[ReportData], Iterator[Claim]], ...] = (_sizes, _distinct, _variation, _likes, _themes)
    return [claim for part in parts for claim in part(data)]


def _sizes(data: ReportData) -> Iterator[Claim]:
    kept = sum(c.kept for c in data.corpora if c.role == "posts")
    posts = sum(int(r.estimate or 0) for r in data.by_label("activity", "posts", "month").values())
    dated = f", {count(posts)} dated posts" if posts else ""
    yield Claim(f"{count(IMAGES)} images of {count(TWEETS)} tweets", f"{count(kept)} kept images{dated}", "–")


def _distinct(data: ReportData) -> Iterator[Claim]:
    for posts in data.of_role("posts"):
        for other in data.of_role("natural", "art"):
            row = data.get("distinctiveness", "kl_kt", p=posts, q=other)
            stated = f"Generated images are distinct from {_name_corpus(data, other)}"
            yield _claim(stated, row, f"KL divergence from {other} {{}} nats")


def _variation(data: ReportData) -> Iterator[Claim]:
    """Yield whether the posts' images are nearer to one another; two intervals that overlap decide nothing."""
    of = data.by_label("variation", "pair_distance", "corpus")
    for posts in data.of_role("posts"):
        for other in data.of_role("natural", "art"):
            stated = f"Generated images vary less than {_name_corpus(data, other)}"
            ours, theirs = of.get(posts), of.get(other)
            if ours is None or theirs is None or ours.estimate is None or theirs.estimate is None:
                yield Claim(stated, "–", ABSENT)
                continue
            here = f"mean distance of pairs {_ends(ours)} against {_ends(theirs)} of {other}"
            yield Claim(stated, here, _verdict(_apart(theirs.low, ours.high), _apart(theirs.high, ours.low)))


def _likes(data: ReportData) -> Iterator[Claim]:
    for other in data.of_role("natural"):
        row = data.get("likes_regression", "poisson_score", reference=other, level="quintile 1")
        stated = "The more similar to natural images, the fewer likes"
        if row is None or row.estimate is None:
            yield Claim(stated, "–", ABSENT)
            continue
        ends = f"{signed_percent(row.estimate)} {percent_ends(row.low, row.high)}"
        here = f"the fifth least like {other} against the most alike: {ends} likes"
        yield Claim(stated, here, _verdict(row.low, row.high))


def _themes(data: ReportData) -> Iterator[Claim]:
    moved = arrows(data)
    up, down = (sum(a.sign == sign for a in moved.values()) for sign in (1, -1))
    here = f"{up} of {len(moved)} themes rise and {down} fall" if moved else "–"
    verdict = ABSENT if not moved else AGREES if up and down else OPEN
    yield Claim("The themes shift over time", here, verdict)


def _claim(stated: str, row: Result | None, words: str) -> Claim:
    if row is None or row.estimate is None:
        return Claim(stated, "–", ABSENT)
    return Claim(stated, words.format(_ends(row)), _verdict(row.low, row.high))


def _name_corpus(data: ReportData, corpus: str) -> str:
    role = next((c.role for c in data.corpora if c.name == corpus), "")
    return f"{'natural images' if role == 'natural' else 'human art'} ({corpus})"


def _apart(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _ends(row: Result | None) -> str:
    return f"{number(row.estimate)} {interval(row.low, row.high)}".strip() if row else "–"


def _verdict(low: float | None, high: float | None) -> str:
    """Return whether a number that the paper has above 0 is so here, by its interval."""
    if low is not None and low > 0:
        return AGREES
    return DIFFERS if high is not None and high < 0 else OPEN


def context(data: ReportData) -> dict[str, object]:
    """Return the statements."""
    return {"claims": claims(data)}


def findings(data: ReportData) -> list[Finding]:
    """Return nothing: the sections of the statements have them."""
    return []


SECTION = ReportSection("paper", "Beside the paper", context, findings)
