"""Every measure in one list: what it must not depend on, its bounds, and that no statistic dodges the list."""

from __future__ import annotations

import numpy as np
import pytest
from measures import CHANGES, MEASURES, Measure

from twigma_spark.stats.comparison import COMPARED
from twigma_spark.stats.explained import WORDS
from twigma_spark.stats.histograms import HISTOGRAMS
from twigma_spark.stats.sample import Codes, Vectors
from twigma_spark.stats.variation import GROUP_WORDS, MOMENT_WORDS

World = tuple[Vectors, Vectors, Codes]
SEEDS = (0, 1)


def world(seed: int) -> World:
    """Two samples of blobs at the same places in other shares, in float64 so that changes do not round; groups of 3."""
    rng = np.random.default_rng(seed)
    places = 4 * rng.normal(size=(6, 5))

    def draw(n: int, shares: list[float], drift: float) -> Vectors:
        which = rng.choice(6, n, p=shares)
        points: Vectors = places[which] + drift + rng.normal(size=(n, 5)) * 0.5
        return points

    p = draw(60, [0.3, 0.2, 0.2, 0.1, 0.1, 0.1], 0.0)
    return p, draw(48, [0.1, 0.1, 0.1, 0.2, 0.2, 0.3], 0.2), np.arange(60) // 3


def changed(change: str, at: World, seed: int = 7) -> World:
    p, q, codes = at
    rng = np.random.default_rng(seed)
    if change == "order":
        one, other = rng.permutation(len(p)), rng.permutation(len(q))
        return p[one], q[other], codes[one]
    if change == "rotation":
        turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        return p @ turn, q @ turn, codes
    if change == "duplicates":
        return np.repeat(p, 2, axis=0), np.repeat(q, 2, axis=0), np.repeat(codes, 2)
    return {"scale": (3.0 * p, 3.0 * q, codes), "shift": (p + 2.0, q + 2.0, codes)}[change]


def faults(measure: Measure, change: str) -> list[str]:
    """Return what a measure says of a change that is not so."""
    values = [(measure.value(*world(s)), measure.value(*changed(change, world(s)))) for s in SEEDS]
    moved = [f"{a} became {b}" for a, b in values if b != pytest.approx(a, rel=1e-6, abs=1e-9)]
    if change in measure.keeps:
        return moved
    return [] if any(abs(a - b) > 1e-4 for a, b in values) else [f"does not change, and must say so: {values}"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_keeps_what_it_says_and_sees_the_rest(name: str, change: str) -> None:
    assert faults(MEASURES[name], change) == []


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_stays_in_its_bounds(name: str) -> None:
    measure = MEASURES[name]
    assert set(measure.keeps) <= set(CHANGES)
    for seed in SEEDS:
        p, q, codes = world(seed)
        for first, second, groups in ((p, q, codes), (q, p, np.arange(len(q)) // 3), (p, p, codes)):
            value = measure.value(first, second, groups)
            assert measure.low - 1e-9 <= value <= measure.high + 1e-9


@pytest.mark.parametrize("name", [n for n, m in MEASURES.items() if m.alike is not None])
def test_a_sample_against_itself(name: str) -> None:
    p, _, codes = world(0)
    assert MEASURES[name].value(p, p.copy(), codes) == pytest.approx(MEASURES[name].alike, abs=1e-9)


@pytest.mark.parametrize("name", [n for n, m in MEASURES.items() if m.symmetric is not None])
def test_the_two_samples_change_places_where_that_is_said(name: str) -> None:
    p, q, codes = world(0)
    there, back = MEASURES[name].value(p, q, codes), MEASURES[name].value(q, p, codes)
    assert (there == pytest.approx(back, abs=1e-9)) is MEASURES[name].symmetric


def test_every_statistic_of_the_stages_is_in_the_list() -> None:
    reported = {*HISTOGRAMS, *COMPARED, *MOMENT_WORDS, *WORDS, *GROUP_WORDS, "kendall_tau"}
    of_groups = {"group_distance", "group_vendi", "group_entropy"}
    assert reported == set(MEASURES) - of_groups
    assert len(of_groups) == len(GROUP_WORDS)


def test_a_measure_that_lies_is_seen() -> None:
    def count(p: Vectors, q: Vectors, codes: Codes) -> float:
        return float(len(p))

    liar = Measure(count, ("order", "duplicates"))
    assert faults(liar, "order") == []
    assert faults(liar, "duplicates") == ["60.0 became 120.0"] * 2
    assert "must say so" in faults(liar, "scale")[0]
