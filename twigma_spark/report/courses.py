"""The course of a theme: its shares by month with their intervals, its trend, and what it is in the strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import percent, percent_ends, signed_percent
from twigma_spark.results import Result

SIGNS = {1: ("▲", "rising"), 0: ("▬", "steady"), -1: ("▼", "falling")}


@dataclass(frozen=True)
class Arrow:
    """The trend of a theme: sign, words, relative change over the span in percent, and the rule."""

    sign: int
    change: Result
    rule: str

    @property
    def glyph(self) -> str:
        """An arrow."""
        return SIGNS[self.sign][0]

    @property
    def word(self) -> str:
        """Rising, steady or falling."""
        return SIGNS[self.sign][1]

    @property
    def size(self) -> str:
        """The relative change with its interval."""
        value, low, high = (
            None if v is None else 100 * v for v in (self.change.estimate, self.change.low, self.change.high)
        )
        return f"{signed_percent(value)} {percent_ends(low, high)}"


def arrows(data: ReportData, analysis: str = "trends", **labels: str) -> dict[int, Arrow]:
    """Return the trends by cluster; `labels` name the stratum where it is of one."""
    changes = data.by_label(analysis, "relative_change", "cluster", **labels)
    return {
        int(cluster): Arrow(int(r.estimate), changes[cluster], r.method)
        for cluster, r in data.by_label(analysis, "arrow", "cluster", **labels).items()
        if r.estimate is not None and cluster in changes
    }


def month_shares(data: ReportData, cluster: int) -> list[tuple[str, Result | None]]:
    """Return the shares of a cluster by month in order of time; None in a month without images."""
    months = sorted({r.labels["month"] for r in data.select("trends", "month_share")})
    shares = data.by_label("trends", "month_share", "month", cluster=cluster)
    return [(month, shares.get(month)) for month in months]


@dataclass(frozen=True)
class Course:
    """An SVG of shares by month: a line and a band in each run of months without a gap."""

    lines: tuple[str, ...]
    bands: tuple[str, ...]
    text: str


def course(shares: Sequence[tuple[str, Result | None]], width: int = 200, height: int = 44) -> Course:
    """Return lines and bands as SVG points; the top is the largest upper end.

    Args:
        shares: month and share, None for a gap.
        width: of the drawing.
        height: of the drawing.
    """
    top = max((r.high or r.estimate or 0 for _, r in shares if r), default=0) or 1.0
    step = width / max(1, len(shares) - 1)

    def at(place: int, value: float) -> str:
        return f"{place * step:.1f},{height - 2 - (height - 4) * value / top:.1f}"

    runs: list[list[tuple[int, Result]]] = [[]]
    for place, (_, result) in enumerate(shares):
        if result is None:
            runs.append([])
        else:
            runs[-1].append((place, result))
    lines = [" ".join(at(p, r.estimate or 0) for p, r in run) for run in runs if run]
    bands = [
        " ".join([at(p, r.high or 0) for p, r in run] + [at(p, r.low or 0) for p, r in reversed(run)])
        for run in runs
        if run
    ]
    known = [(m, r) for m, r in shares if r]
    text = f"share by month, from {percent(known[0][1].estimate)} in {known[0][0]} to " if known else "no months"
    text += f"{percent(known[-1][1].estimate)} in {known[-1][0]}, band: 95% interval" if known else ""
    return Course(tuple(lines), tuple(bands), text)


@dataclass(frozen=True)
class Stratum:
    """A row of the table of strata: kind, name, n and a cell for each cluster (text, glyph)."""

    kind: str
    name: str
    n: int
    cells: tuple[tuple[str, str], ...]


def strata(data: ReportData, clusters: Sequence[int]) -> list[Stratum]:
    """Return the strata with the share of each cluster and, where it rises or falls, the arrow."""
    of, rows = "trends_by_stratum", []
    for kind, name in dict.fromkeys((r.labels["kind"], r.labels["stratum"]) for r in data.select(of, "share")):
        shares = data.by_label(of, "share", "cluster", kind=kind, stratum=name)
        moved = arrows(data, of, kind=kind, stratum=name)
        cells = []
        for cluster in clusters:
            share, arrow = shares.get(str(cluster)), moved.get(cluster)
            cells.append((percent(share.estimate) if share else "–", arrow.glyph if arrow and arrow.sign else ""))
        n = max((shares[str(c)].n for c in clusters if str(c) in shares), default=0)
        rows.append(Stratum(kind, name, n, tuple(cells)))
    return sorted(rows, key=lambda row: (row.kind, -row.n, row.name))
