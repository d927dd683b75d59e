"""The grid: one quantisation a cell, intervals by groups, and how often the ranking changes."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from made_results import joined
from scipy.stats import entropy

from twigma_spark.stats import grid as module
from twigma_spark.stats.grid import (
    CellDivergence,
    Grid,
    GridCell,
    GridSpec,
    cell_results,
    grid,
    ranking_changes,
    spread,
)
from twigma_spark.stats.sample import Sample

SPEC = GridSpec(clusters=(3, 4), seeds=2, shares=(0.5, 1.0), bootstrap=40, seed=3)


def blobs(shares: list[float], n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), n, p=shares)
    return (5 * np.eye(len(shares), 6)[label] + 0.2 * rng.normal(size=(n, 6))).astype(np.float32)


SAMPLES = {
    "posts": Sample(blobs([0.4, 0.3, 0.2, 0.1], 600, 1), np.arange(600) // 2, "posts"),
    "near": Sample(blobs([0.35, 0.3, 0.2, 0.15], 400, 2)),
    "far": Sample(blobs([0.1, 0.1, 0.2, 0.6], 400, 3)),
}


def test_every_cell_has_every_pair_with_an_interval_over_groups() -> None:
    found = cell_results(grid(SAMPLES, SPEC), SPEC)
    assert len(found) == 2 * 2 * 2 * 2 * 6
    one = next(s for s in found if (s.metric, joined(s)) == ("kl_kt", "posts|far|4|3|1"))
    assert one.estimate == pytest.approx(entropy([0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.2, 0.6]), abs=0.15)
    assert one.low is not None and one.high is not None and one.low < one.estimate < one.high
    assert (one.n, one.unit) == (700, "posts and images") and "40 resamples of posts and images" in one.method


def test_a_pair_is_quantised_once_a_size_k_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    right = module.cluster_points
    monkeypatch.setattr(module, "cluster_points", lambda *args: calls.append(args[1:3]) or right(*args))
    grid(SAMPLES, SPEC)
    assert len(calls) == 3 * 2 * 2 * 2


def test_a_clear_ranking_never_changes_and_its_spread_holds_the_truth() -> None:
    found = grid(SAMPLES, SPEC)
    main = {("posts", "near"): 0.1, ("posts", "far"): 0.8, ("near", "posts"): 0.1, ("near", "far"): 0.7,
            ("far", "posts"): 0.8, ("far", "near"): 0.7}  # fmt: skip
    changes = {(s.metric, joined(s)): s for s in ranking_changes(found, main, SPEC)}
    assert changes["kl_kt", "posts"].estimate == 0 and changes["kl_kt", "posts"].unit == "grid cells"
    turned = {**main, ("posts", "near"): 0.9}
    assert {joined(s): s.estimate for s in ranking_changes(found, turned, SPEC) if s.metric == "kl_kt"}["posts"] == 1
    wide = {(s.metric, joined(s)): s for s in spread(found)}["kl_kt", "posts|far"]
    assert wide.low is not None and wide.estimate is not None and wide.high is not None
    assert wide.low <= wide.estimate <= wide.high and wide.n == 8


def test_infinite_values_have_no_order() -> None:
    drawn = np.full(5, inf)
    values = {("a", "b"): CellDivergence(inf, drawn), ("a", "c"): CellDivergence(inf, drawn)}
    made = Grid({GridCell("kl", 2, 0, 1.0): values}, dict.fromkeys("abc", (9, "images")))
    found = [s for s in ranking_changes(made, {**dict.fromkeys([("b", "a"), ("c", "a")], 1.0), ("b", "c"): 1.0,
             ("c", "b"): 1.0, ("a", "b"): 1.0, ("a", "c"): 2.0}, GridSpec(bootstrap=5))
             if (s.metric, joined(s)) == ("kl", "a")]  # fmt: skip
    assert found[0].estimate == 1.0
    assert spread(made)[0].estimate == inf


def test_empty_and_small_corpora_do_not_harm_the_grid() -> None:
    none = Sample(np.empty((0, 6), np.float32))
    found = grid({**SAMPLES, "none": none, "one": Sample(blobs([1.0, 0, 0, 0], 1, 9))}, SPEC)
    pairs = next(iter(found.values.values()))
    assert ("posts", "one") in pairs and not any("none" in pair for pair in pairs)
    assert not any(np.isnan(s.estimate) for s in cell_results(found, SPEC) if s.estimate is not None)
    nothing = grid({"none": none}, SPEC)
    assert cell_results(nothing, SPEC) == spread(nothing) == ranking_changes(nothing, {}, SPEC) == []


def test_the_same_seed_gives_the_same_grid() -> None:
    assert cell_results(grid(SAMPLES, SPEC), SPEC) == cell_results(grid(SAMPLES, SPEC), SPEC)
