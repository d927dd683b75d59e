"""Nearest centres: float64's answers, by products of float32 and of bf16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vector_kinds import KINDS, normal
from twigma_spark.estimators import nearest_centres, trial
from twigma_spark.estimators.bf16_products import Bf16Rows
from twigma_spark.estimators.coreset import Metric
from twigma_spark.estimators.nearest_centres import Centres
from twigma_spark.estimators.trial import Trial
from twigma_spark.vectors import unit_rows


def true_nearest(rows: np.ndarray, centres: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the nearest centre by float64, each pair by itself, of equals the first."""
    found = centres.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", found, found))
    answers = []
    for row in rows.astype(np.float64):
        close = np.einsum("ij,ij->i", np.repeat(row[None], len(found), axis=0), found)
        answers.append(int(np.argmax(close - (norms**2 / 2 if metric == "euclidean" else 0))))
    return np.array(answers)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS), asked=st.sampled_from(KINDS), n=st.integers(1, 60), k=st.integers(1, 50),
    d=st.integers(1, 70), seed=st.integers(0, 10**6),
)  # fmt: skip
@pytest.mark.parametrize(("metric", "bf16"), [("cosine", False), ("cosine", True), ("euclidean", False)])
def test_the_nearest_is_that_of_float64(metric, bf16, kind, asked, n, k, d, seed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    centres = kind(rng, k, d).astype(np.float32)
    if metric == "cosine":
        centres = unit_rows(centres)
    rows = np.concatenate([asked(rng, n, d), centres[:5]]).astype(np.float32)
    found = Centres(centres, metric, bf16).nearest(rows)
    np.testing.assert_array_equal(found, true_nearest(rows, centres, metric))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), asked=st.sampled_from(KINDS), d=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_a_product_that_is_not_below_a_floor_reaches_its_limit(kind, asked, d: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    rows, others = kind(rng, 40, d).astype(np.float32), asked(rng, 9, d).astype(np.float32)
    products, true = Bf16Rows(rows).products(others), others.astype(np.float64) @ rows.T.astype(np.float64)
    floor = np.array([rng.choice(row) for row in true])
    sizes = np.linalg.norm(others, axis=1) * np.linalg.norm(rows, axis=1).max()
    above = true >= (floor + 1e-12 * sizes)[:, None]
    assert (products.values >= products.limits(floor)[:, None])[above].all()


def test_bf16_leaves_few_centres_to_float64() -> None:
    rng = np.random.default_rng(1)
    centres = unit_rows(normal(rng, 100, 256).astype(np.float32))
    rows = unit_rows((centres[rng.integers(0, 100, 500)] + 0.1 * normal(rng, 500, 256)).astype(np.float32))
    may_be = Centres(centres, "cosine", True)._may_be(rows, np.ones(500))
    assert may_be.any(axis=1).all() and may_be.sum() < 510


def test_no_rows_have_no_nearest() -> None:
    for bf16 in (False, True):
        assert Centres(np.eye(3, dtype=np.float32), "cosine", bf16).nearest(np.empty((0, 3), np.float32)).shape == (0,)


def test_centres_of_many_elements_are_tried_by_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_centres, "LEAST_CELLS", 10)
    monkeypatch.setattr(nearest_centres, "can_use_bf16", lambda: True)
    monkeypatch.setattr(trial, "LEAST_SECONDS", 0.0)
    rng = np.random.default_rng(2)
    centres, rows = unit_rows(normal(rng, 13, 17).astype(np.float32)), normal(rng, 900, 17).astype(np.float32)
    nearest_centres._trial.cache_clear()
    found = [Centres(centres, "cosine").nearest(rows[at : at + 90]) for at in range(0, 900, 90)]
    np.testing.assert_array_equal(np.concatenate(found), Centres(centres, "cosine", False).nearest(rows))
    assert nearest_centres._trial(13, 17).taken in ("plain", "other")
    nearest_centres._trial.cache_clear()


class Clock:
    """Work that takes as long as it is told."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def work(self, name: str, seconds: float) -> str:
        self.now += seconds
        self.calls.append(name)
        return "the answer"


@pytest.mark.parametrize(("other", "taken"), [(0.5, "other"), (0.95, "plain"), (3.0, "plain")])
def test_the_quicker_way_is_taken_after_some_turns(monkeypatch: pytest.MonkeyPatch, other: float, taken: str) -> None:
    clock = Clock()
    monkeypatch.setattr(trial.time, "perf_counter", lambda: clock.now)
    tried = Trial(lambda: True)
    for _ in range(40):
        assert tried.run(10.0, lambda: clock.work("plain", 1.0), lambda: clock.work("other", other)) == "the answer"
    assert tried.taken == taken
    assert clock.calls[:20] == ["plain"] * 20
    assert clock.calls[20:27] == ["other", *["plain", "other"] * 3]  # the first is not timed
    assert set(clock.calls[27:]) == {taken}


def test_a_way_that_is_not_ready_is_never_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), []
    monkeypatch.setattr(trial.time, "perf_counter", lambda: clock.now)
    tried = Trial(lambda: bool(asked.append(1)))
    for _ in range(30):
        tried.run(1.0, lambda: clock.work("plain", 1.0), lambda: clock.work("other", 0.1))
    assert set(clock.calls) == {"plain"} and len(asked) == 1 and tried.taken == "plain"


def test_a_cpu_without_fast_bf16_is_not_asked_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "adds_in_float32", lambda: True)
    for flags, fast in (({"amx_bf16"}, True), ({"avx512_bf16"}, False), ({"avx512_bf16", "sse4a"}, True)):
        monkeypatch.setattr(trial, "cpu_features", lambda flags=flags: frozenset(flags))
        assert trial.can_use_bf16() is fast
    monkeypatch.setattr(trial, "find_spec", lambda name: None)
    assert not trial.can_use_bf16()
