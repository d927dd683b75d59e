"""Rows of small tables, as plain dicts, become the records of the page; no pyspark in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from twigma_spark.report.data import (
    ROLES,
    BestMatches,
    CorpusSummary,
    DownloadEnd,
    DuplicateGroup,
    HashtagCandidate,
    OriginCount,
    Pair,
    Picture,
    PromptDistance,
    Reject,
    Repeat,
    RewardPair,
    Safety,
    SharedPair,
    StageRun,
    ThemeSummary,
)
from twigma_spark.results import Result

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class ThemeRows:
    """The rows of which themes are made.

    Attributes:
        centroids: clustering_id, cluster, size, mean_distance.
        words: clustering_id, cluster, rank, term, weight.
        months: clustering_id, cluster, month, images.
        examples: clustering_id, cluster, place, image_id.
    """

    centroids: Rows
    words: Rows
    months: Rows
    examples: Rows


def corpora(
    image_outcomes: Rows, roles: Mapping[str, str], of_vectors: Collection[str] = ()
) -> tuple[CorpusSummary, ...]:
    """Return the corpora by role, then as configured.

    Args:
        image_outcomes: rows of `summaries.image_outcomes`.
        roles: by corpus.
        of_vectors: corpora whose images came as vectors.
    """
    names = [*roles, *sorted({r["corpus"] for r in image_outcomes} - set(roles))]
    summaries = [
        replace(
            _corpus(name, roles.get(name, "not configured"), [r for r in image_outcomes if r["corpus"] == name]),
            are_vectors=name in of_vectors,
        )
        for name in names
    ]
    order = {role: i for i, role in enumerate(ROLES)}
    return tuple(sorted(summaries, key=lambda c: order.get(c.role, len(ROLES))))


def _corpus(name: str, role: str, rows: Rows) -> CorpusSummary:
    files = {r["outcome"]: r["files"] for r in rows}
    dates = [r[end] for r in rows for end in ("since", "until") if r[end] is not None]
    return CorpusSummary(
        name=name,
        role=role,
        files=sum(files.values()),
        kept=files.get("kept", 0),
        duplicates={outcome: n for outcome, n in sorted(files.items()) if outcome not in ("kept", "rejected")},
        rejects=files.get("rejected", 0),
        since=min(dates, default=None),
        until=max(dates, default=None),
    )


def downloads(rows: Rows) -> tuple[DownloadEnd, ...]:
    """Return how the downloads ended, by corpus: those that are there, then the most frequent reasons."""
    ends = (DownloadEnd(**row) for row in rows)
    return tuple(sorted(ends, key=lambda d: (d.corpus, d.outcome != "ok", -d.pictures, d.reason)))


def results(rows: Iterable[Result]) -> tuple[Result, ...]:
    """Return statistics in order; NaN becomes None, so that nothing is drawn or claimed of it."""
    clean = (r.with_value(estimate=_number(r.estimate), low=_number(r.low), high=_number(r.high)) for r in rows)
    return tuple(sorted(clean, key=lambda r: (r.analysis, r.metric, r.key)))


def origins(rows: Rows) -> tuple[OriginCount, ...]:
    """Return images by cluster and corpus, in order."""
    counts = (OriginCount(**row) for row in rows)
    return tuple(sorted(counts, key=lambda o: (o.clustering, o.cluster, o.corpus)))


def themes(rows: ThemeRows, pictures: Mapping[str, Picture]) -> tuple[ThemeSummary, ...]:
    """Return the themes in order of clustering and number."""
    words, months, shown = (_by_cluster(r) for r in (rows.words, rows.months, rows.examples))
    summaries = []
    for row in sorted(rows.centroids, key=_cluster):
        key = _cluster(row)
        summaries.append(
            ThemeSummary(
                clustering=row["clustering_id"],
                cluster=row["cluster"],
                size=row["size"],
                mean_distance=_number(row["mean_distance"]),
                words=tuple((w["term"], w["weight"]) for w in sorted(words.get(key, []), key=lambda w: w["rank"])),
                months=tuple(sorted((m["month"], m["images"]) for m in months.get(key, []))),
                pictures=tuple(
                    pictures[e["image_id"]]
                    for e in sorted(shown.get(key, []), key=lambda e: e["place"])
                    if e["image_id"] in pictures
                ),
            )
        )
    return tuple(summaries)


def pictures(rows: Rows, link: Callable[[str, str], str] = lambda corpus, file: "") -> dict[str, Picture]:
    """Return pictures by id; `rows` are of `gallery.thumbnails`, and `link` makes one of corpus and file."""
    by_id = {}
    for row in rows:
        blobs = {name: bytes(row[name]) if row[name] is not None else None for name in ("thumbnail", "preview")}
        known = {"score": _number(row["score"]), "link": link(row["corpus"], row["file"])}
        by_id[row["image_id"]] = Picture(**{**row, **blobs, **known})
    return by_id


def duplicate_groups(rows: Rows, pictures: Mapping[str, Picture]) -> tuple[DuplicateGroup, ...]:
    """Return the groups in order; `rows` are of `gallery.duplicate_groups`."""
    ordered = sorted(rows, key=lambda r: (r["place"], r["number"]))
    groups = []
    for _, same in groupby(ordered, lambda r: int(r["place"])):
        group = [row for row in same if row["image_id"] in pictures]
        if group and group[0]["canonical_id"] in pictures:
            repeats = [Repeat(pictures[r["image_id"]], r["tier"], _number(r["similarity"])) for r in group]
            groups.append(DuplicateGroup(pictures[group[0]["canonical_id"]], group[0]["size"], tuple(repeats)))
    return tuple(groups)


def hashtags(rows: Rows, examples: Rows, pictures: Mapping[str, Picture]) -> tuple[HashtagCandidate, ...]:
    """Return the candidates in order.

    Args:
        rows: of `stages.hashtags.candidates`; NaN where there is no share.
        examples: of `transforms.hashtags.example_images`.
        pictures: by id.
    """
    shown: dict[str, list[Picture]] = {}
    for row in sorted(examples, key=lambda row: (row["hashtag"], row["place"])):
        if row["image_id"] in pictures:
            shown.setdefault(row["hashtag"], []).append(pictures[row["image_id"]])
    made = []
    for row in rows:
        known: dict[str, Any] = {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in row.items()}
        made.append(HashtagCandidate(**known, pictures=tuple(shown.get(row["hashtag"], ()))))
    return tuple(made)


def shared_pairs(rows: Rows, pictures: Mapping[str, Picture]) -> tuple[SharedPair, ...]:
    """Return the pairs in order; `rows` are of `gallery.shared_pairs`."""
    shown = [row for row in rows if {row["image_id"], row["other_id"]} <= pictures.keys()]
    return tuple(SharedPair(pictures[r["image_id"]], pictures[r["other_id"]], r["tier"], r["bits"]) for r in shown)


def reward_pairs(rows: Rows, pictures: Mapping[str, Picture]) -> tuple[RewardPair, ...]:
    """Return the pairs both of whose images can be shown; `rows` are of `gallery.surest_pairs`."""
    sides = ("preferred_image_id", "other_image_id")
    shown = [row for row in rows if {row[side] for side in sides} <= pictures.keys()]
    return tuple(
        RewardPair(pictures[r[sides[0]]], pictures[r[sides[1]]], r["preferred_likes"], r["other_likes"], r["margin"])
        for r in shown
    )


def pairs(rows: Rows, pictures: Mapping[str, Picture]) -> tuple[Pair, ...]:
    """Return the pairs of each reference, by place."""
    ordered = sorted(rows, key=lambda r: (r["reference"], r["place"]))
    return tuple(
        Pair(
            r["reference"],
            pictures[r["image_id"]],
            pictures[r["neighbour_id"]],
            r["similarity"],
            r["false_match_rate"],
        )
        for r in ordered
        if r["image_id"] in pictures and r["neighbour_id"] in pictures
    )


def matches(rows: Rows, bins: Rows, order: Iterable[str], width: float) -> tuple[BestMatches, ...]:
    """Return the similarities by reference, in the given order of corpora."""
    place = {name: i for i, name in enumerate(order)}
    by_reference = []
    for row in sorted(rows, key=lambda r: (place.get(r["reference"], len(place)), r["reference"])):
        edges = sorted((round(b["edge"], 6), b["images"]) for b in bins if b["reference"] == row["reference"])
        by_reference.append(BestMatches(**row, bins=tuple(edges), width=width))
    return tuple(by_reference)


def prompts(rows: Rows) -> tuple[PromptDistance, ...]:
    """Return the prompts by corpus and length; `rows` are of `summaries.prompt_distances`."""
    distances = (PromptDistance(**row) for row in rows)
    return tuple(sorted(distances, key=lambda p: (p.corpus, p.words, p.distance)))


def safety(rows: Rows, order: Iterable[str]) -> tuple[Safety, ...]:
    """Return what is known of the corpora, in the given order."""
    place = {name: i for i, name in enumerate(order)}
    return tuple(Safety(**row) for row in sorted(rows, key=lambda r: (place.get(r["corpus"], len(place)), r["corpus"])))


def rejects(rows: Rows) -> tuple[Reject, ...]:
    """Return the refused by kind, with examples; `rows` are of `summaries.reject_rows`."""

    def kind(row: Row) -> tuple[str, str, str, str]:
        return row["stage"], row["unit"], row["corpus"] or "", row["reason"]

    grouped = []
    for key, same in groupby(sorted(rows, key=lambda r: (kind(r), r["key"])), kind):
        group = list(same)
        examples = tuple((r["key"], r["detail"] or "") for r in group)
        grouped.append(Reject(*key, count=group[0]["count"], examples=examples))
    return tuple(grouped)


def runs(rows: Rows) -> tuple[StageRun, ...]:
    """Return the last good run of each stage in order of time; missing maps are empty."""
    ordered = sorted(rows, key=lambda r: (r["started_at"], r["stage"]))
    return tuple(StageRun(**{k: {} if v is None else v for k, v in row.items()}) for row in ordered)


def _cluster(row: Row) -> tuple[str, int]:
    return row["clustering_id"], row["cluster"]


def _by_cluster(rows: Rows) -> dict[tuple[str, int], Rows]:
    grouped: dict[tuple[str, int], Rows] = {}
    for row in rows:
        grouped.setdefault(_cluster(row), []).append(row)
    return grouped


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
