"""How good the columns of a release are: what the statistics of the run say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark import metrics
from twigma_spark.config.settings import Config
from twigma_spark.release.fields import Field
from twigma_spark.stages import inputs

# By analysis and metric, the column that a statistic says something of.
OF: Mapping[tuple[str, str], str] = {
    ("choice_of_k", "silhouette"): "label_10_cluster",
    ("choice_of_k", "adjusted_rand"): "label_10_cluster",
    ("nsfw", "share_above"): "nsfw_score",
    ("projection", "trustworthiness"): "UMAP_dim_1",
    ("projection", "continuity"): "UMAP_dim_1",
}


@dataclass(frozen=True)
class Quality:
    """A statistic of a column.

    Attributes:
        column: its name.
        title: what was measured.
        value: the estimate with its interval, in words.
        n: what it rests on, in words.
        method: estimator and interval, in words.
    """

    column: str
    title: str
    value: str
    n: str
    method: str


def read_quality(cfg: Config, results: DataFrame, fields: Sequence[Field], corpora: Sequence[str]) -> list[Quality]:
    """Return what the table `results` says of the columns of a release, in the order of the columns."""
    analyses = sorted({analysis for analysis, _ in OF})
    rows = results.where(F.col("analysis").isin(analyses)).select(
        "analysis", "metric", "labels", "estimate", "low", "high", "n", "unit", "method"
    )
    return choose_quality(cfg, (row.asDict() for row in rows.collect()), fields, corpora)


def choose_quality(
    cfg: Config, rows: Iterable[Mapping[str, Any]], fields: Sequence[Field], corpora: Sequence[str]
) -> list[Quality]:
    """Return what rows of `results` say of the columns: of the released corpora and clustering, as a whole.

    Args:
        cfg: the configuration.
        rows: of the table `results`; one whose estimate could not be computed says nothing.
        fields: the columns of the release.
        corpora: names of the corpora that are released.
    """
    names = [field.name for field in fields]
    theme = inputs.theme_clustering(cfg)
    k = {str(c.k) for c in cfg.cluster.clusterings if c.id == theme}
    asked: dict[str, dict[str, set[str]]] = {
        "choice_of_k": {"clustering": {str(theme)}, "k": k},
        "nsfw": {"corpus": set(corpora), "threshold": {str(t) for t in cfg.trends.nsfw_thresholds}},
        "projection": {},
    }
    chosen = []
    for row in rows:
        column, labels = OF.get((row["analysis"], row["metric"])), row["labels"] or {}
        wanted = asked.get(row["analysis"], {})
        fits = labels.keys() == wanted.keys() and all(labels[name] in values for name, values in wanted.items())
        if column in names and fits and row["estimate"] is not None:
            chosen.append((names.index(column), row["analysis"], row["metric"], sorted(labels.items()), row))
    return [_quality(names[place], row) for place, *_, row in sorted(chosen, key=lambda each: each[:-1])]


def _quality(column: str, row: Mapping[str, Any]) -> Quality:
    entry = metrics.find(row["analysis"], row["metric"])
    of = ", ".join(f"{name} {value}" for name, value in sorted((row["labels"] or {}).items()))
    title = (row["metric"] if entry is None else entry.title) + (f" ({of})" if of else "")
    known = row["low"] is not None and row["high"] is not None
    interval = f" [{row['low']:.3g}, {row['high']:.3g}]" if known else ""
    return Quality(column, title, f"{row['estimate']:.3g}{interval}", f"{row['n']:,} {row['unit']}", row["method"])
