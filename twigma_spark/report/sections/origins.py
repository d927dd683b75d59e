"""The section on origin clusters: what each corpus contributes to clusters over all corpora."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from twigma_spark.report.data import OriginCount, ReportData
from twigma_spark.report.figures import Figure, colour, figure, label
from twigma_spark.report.numbers import WILSON, Share, count, percent, wilson
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result


@dataclass(frozen=True)
class OriginTable:
    """One clustering: images by cluster and corpus, with the totals of the corpora."""

    id: str
    corpora: tuple[str, ...]
    clusters: tuple[int, ...]
    images: dict[tuple[int, str], int]
    results: dict[tuple[str, str], Result]

    def total(self, corpus: str) -> int:
        """Return the images of a corpus in all clusters."""
        return sum(self.images.get((c, corpus), 0) for c in self.clusters)

    def share(self, cluster: int, corpus: str) -> Share | None:
        """Return which share of a corpus is in a cluster, with the stage's interval over posts, prompts or artists."""
        result = self.results.get((str(cluster), corpus))
        if result and result.estimate is not None and result.low is not None and result.high is not None:
            return Share(result.estimate, result.low, result.high, result.n or 0)
        return wilson(self.images.get((cluster, corpus), 0), self.total(corpus))

    def basis(self, cluster: int, corpus: str) -> str:
        """Return what the share rests on: n, its unit and the method of the interval."""
        result = self.results.get((str(cluster), corpus))
        if result is None or result.low is None:
            return f"n = {count(self.total(corpus))} images of {corpus}; {WILSON}"
        return f"n = {count(result.n)} {result.unit} of {corpus}; {result.method}"

    def mix(self, cluster: int) -> dict[str, float]:
        """Return the share of each corpus in a cluster, as if all corpora were of the same size."""
        rates = {c: s.estimate if (s := self.share(cluster, c)) else 0.0 for c in self.corpora}
        whole = sum(rates.values()) or 1.0
        return {corpus: rate / whole for corpus, rate in rates.items()}


def tables(data: ReportData) -> list[OriginTable]:
    """Return one table a clustering, corpora in the order of the page."""
    return [_table(data, name) for name in dict.fromkeys(o.clustering for o in data.origins)]


def _table(data: ReportData, name: str) -> OriginTable:
    rows: list[OriginCount] = [o for o in data.origins if o.clustering == name]
    corpora = sorted({o.corpus for o in rows}, key=data.corpus_order)
    clusters = sorted({o.cluster for o in rows})
    images = {(o.cluster, o.corpus): o.images for o in rows}
    shares = data.select("origins", "share", clustering=name)
    results = {(r.labels["cluster"], r.labels["corpus"]): r for r in shares}
    return OriginTable(name, tuple(corpora), tuple(clusters), images, results)


def context(data: ReportData) -> dict[str, object]:
    """Return every clustering with its chart."""
    return {"tables": [(table, chart(table, i)) for i, table in enumerate(tables(data))]}


def chart(table: OriginTable, index: int) -> Figure:
    """Return bars, one a cluster, stacked by corpus; corpora weigh the same."""
    names = [f"cluster {c}" for c in table.clusters]
    traces = [
        go.Bar(
            y=names,
            x=[table.mix(c)[corpus] for c in table.clusters],
            name=label(corpus),
            orientation="h",
            marker={"color": colour(i)},
            customdata=[[count(table.images.get((c, corpus), 0)), str(table.share(c, corpus))] for c in table.clusters],
            hovertemplate="%{y}: %{x:.0%} of the cluster<br>%{customdata[0]} images, %{customdata[1]} of the corpus",
        )
        for i, corpus in enumerate(table.corpora)
    ]
    axis = {
        "tickformat": ".0%",
        "range": [0, 1],
        "title": {"text": "share of the cluster, corpora weighted alike"},
    }
    layout = {
        "barmode": "stack", "height": 130 + 44 * len(names), "xaxis": axis, "bargap": 0.3,
        "yaxis": {"autorange": "reversed", "type": "category"}, "legend": {"traceorder": "normal"},
    }  # fmt: skip
    sizes = ", ".join(f"{c} {count(table.total(c))}" for c in table.corpora)
    caption = f"What each cluster is made of, with all corpora weighted alike. n images: {sizes}. {_describe(table)}"
    return figure(f"fig-origins-{index}", traces, layout, caption)


def _describe(table: OriginTable) -> str:
    """Return which corpus fills most of a cluster."""
    top = {cluster: max(table.mix(cluster).items(), key=lambda item: item[1]) for cluster in table.clusters}
    cluster, (corpus, share) = max(top.items(), key=lambda item: item[1][1])
    return f"Cluster {cluster} is the most one-sided: {percent(share)} of it are {corpus}."


def findings(data: ReportData) -> list[Finding]:
    """Return where most of the posts are, and how much of each reference is there too."""
    largest = (_largest_cluster(table, posts, data) for table in tables(data) for posts in data.of_role("posts"))
    return [f for f in largest if f]


def _largest_cluster(table: OriginTable, posts: str, data: ReportData) -> Finding | None:
    shares = {c: s for c in table.clusters if (s := table.share(c, posts))}
    ranked = sorted(shares, key=lambda c: (-shares[c].estimate, c))
    if len(ranked) < 2 or shares[ranked[0]].low <= shares[ranked[1]].high:
        return None
    top = ranked[0]
    others = [(c.name, s) for c in data.corpora if c.role != "posts" and (s := table.share(top, c.name))]
    also = ", ".join(f"{percent(s.estimate)} of {name}" for name, s in others)
    where = f"one of {len(table.clusters)} clusters over all corpora (number {top})"
    text = f"{shares[top]} of the images of {posts} fall into {where}"
    basis = f"{table.basis(top, posts)}; clustering “{table.id}”."
    return Finding(f"{text}; it holds {also}." if also else f"{text}.", basis)


SECTION = ReportSection("origins", "Origin clusters", context, findings)
