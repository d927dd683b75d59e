"""The results of the stages as plain data, to be compared with the sample's ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from twigma_spark.sample.truth import REWARD_MATCHING, RunResults

Key = tuple[str, str]
COLUMNS = {
    "images": ("image_id", "corpus", "source_key"),
    "embeddings": ("image_id",),
    "rejects": ("unit", "corpus", "key", "reason"),
    "duplicates": ("image_id", "canonical_id", "tier"),
    "neighbours": ("image_id", "neighbour_id", "similarity"),
    "clusters": ("image_id", "cluster", "clustering_id"),
    "held_out_pairs": ("preferred_image_id", "other_image_id"),
    "results": ("analysis", "metric", "labels", "estimate", "low", "high"),
}
MEASURES = ("likes_regression/negative_binomial", "trends/arrow", "distinctiveness/kl_kt")
REWARD = ("reward/accuracy", "reward/gain", "reward/prefers_followers_gain")


def collect_results(tables: Mapping[str, Any]) -> RunResults:
    """Return what the stages found; the tables are those of the sample world, so they are small.

    Args:
        tables: DataFrames of those of COLUMNS, by name.
    """
    rows = _rows(tables)
    keys = {row["image_id"]: (row["corpus"], row["source_key"]) for row in rows["images"]}
    measured: dict[str, list[Any]] = {name: [] for name in (*MEASURES, *REWARD)}
    for row in rows["results"]:
        measured[f"{row['analysis']}/{row['metric']}"].append(row)
    changes, arrows, kl = (measured[name] for name in MEASURES)
    return RunResults(
        images={keys[row["image_id"]] for row in rows["embeddings"] if row["image_id"] in keys},
        rejects=[(row["unit"], f"{row['corpus']}/{row['key']}", row["reason"]) for row in rows["rejects"]],
        duplicates={keys[r["image_id"]]: (keys[r["canonical_id"]], r["tier"]) for r in rows["duplicates"]},
        # The smoothed divergences; the plug-in ones may all be infinite, which has no order.
        kl={(row["labels"]["p"], row["labels"]["q"]): _with_ends(row) for row in kl if _has_ends(row)},
        neighbours=_neighbours(rows["neighbours"], keys),
        changes={
            (row["labels"]["reference"], row["labels"]["level"]): _with_ends(row) for row in changes if _has_ends(row)
        },
        clusters={keys[r["image_id"]]: r["cluster"] for r in rows["clusters"] if r["image_id"] in keys},
        reward=_reward(*(measured[name] for name in REWARD)),
        held_out=[
            (keys[r["preferred_image_id"]], keys[r["other_image_id"]])
            for r in rows["held_out_pairs"]
            if r["preferred_image_id"] in keys and r["other_image_id"] in keys
        ],
        arrows={int(row["labels"]["cluster"]): int(row["estimate"]) for row in arrows if row["estimate"] is not None},
    )


def _reward(accuracies: list[Any], gains: list[Any], matching: list[Any]) -> dict[str, tuple[float, float, float]]:
    """Return the reward model's accuracy, its gain by the name of the other scorer, and what matching changes."""
    own = [("accuracy", row) for row in accuracies if row["labels"]["scorer"] == "reward"]
    scorers = dict(
        [*own, *((row["labels"]["scorer"], row) for row in gains), *((REWARD_MATCHING, r) for r in matching)]
    )
    return {name: _with_ends(row) for name, row in scorers.items() if _has_ends(row)}


def _has_ends(row: Mapping[str, Any]) -> bool:
    return None not in (row["low"], row["high"])


def _with_ends(row: Mapping[str, Any]) -> tuple[float, float, float]:
    return row["estimate"], row["low"], row["high"]


def _rows(tables: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the rows of each table: plain scans, for what joins them is a dictionary here."""
    wanted = {
        **tables,
        "results": tables["results"].where(f"concat_ws('/', analysis, metric) IN {(*MEASURES, *REWARD)}"),
        "clusters": tables["clusters"].where("clustering_id = 'themes'"),
    }
    with ThreadPoolExecutor(4) as pool:
        pending = {name: pool.submit(wanted[name].select(*columns).collect) for name, columns in COLUMNS.items()}
    return {name: rows.result() for name, rows in pending.items()}


def _neighbours(rows: list[Any], keys: dict[str, Key]) -> dict[Key, list[Key]]:
    """Return the nearest images over all references together, nearest first."""
    near: dict[Key, list[tuple[float, Key]]] = {}
    for row in rows:
        if row["image_id"] in keys and row["neighbour_id"] in keys:
            near.setdefault(keys[row["image_id"]], []).append((-row["similarity"], keys[row["neighbour_id"]]))
    return {key: [other for _, other in sorted(ranked)] for key, ranked in near.items()}
