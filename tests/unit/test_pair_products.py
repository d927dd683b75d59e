"""Pairs at a bound: the same ones by products of float32 and of bf16, and none left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vector_kinds import KINDS, normal
from twigma_spark.estimators import pair_products, trial
from twigma_spark.estimators.pair_products import pairs_at_least
from twigma_spark.vectors import unit_rows


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(KINDS), n=st.integers(0, 60), m=st.integers(0, 60), d=st.integers(1, 70),
    scaled=st.booleans(), later=st.booleans(), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_pairs_are_the_same_to_the_last_one(kind, n, m, d, scaled, later, seed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    every = kind(rng, n + m, d).astype(np.float32)
    every = unit_rows(every) if scaled else every
    rows, others = (every[:n], every[n:]) if n % 2 else (every, every)
    products = np.einsum("ij,kj->ik", rows, others, dtype=np.float64)
    # A bound that many products are at, and near.
    least = float(np.float32(rng.choice(products.ravel()))) if products.size else 0.5
    found = [pairs_at_least(rows, others, least, later, bf16) for bf16 in (False, True)]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    row, other, product = found[0]
    assert (product >= np.float32(least)).all() and (not later or (other > row).all())
    sizes = np.outer(np.linalg.norm(rows.astype(float), axis=1), np.linalg.norm(others.astype(float), axis=1))
    clear = products >= least + 1e-5 * sizes + 1e-30
    wanted = {(int(a), int(b)) for a, b in np.argwhere(clear) if not later or b > a}
    assert wanted <= set(zip(row.tolist(), other.tolist(), strict=True))


def test_equal_pairs_have_equal_products_wherever_they_are() -> None:
    """Products of matrices differ in the last bits by the place in the matrix."""
    rng = np.random.default_rng(1)
    rows = unit_rows(normal(rng, 3, 768).astype(np.float32))
    alone = pairs_at_least(rows[:1], rows[1:2], -1.0)[2]
    among = pairs_at_least(np.repeat(rows[:1], 50, axis=0), np.repeat(rows[1:2], 77, axis=0), -1.0)[2]
    assert among.size == 50 * 77 and (among == alone).all()


def test_bf16_proposes_hardly_more_than_there_are() -> None:
    rng = np.random.default_rng(2)
    base = normal(rng, 300, 256)
    rows = unit_rows(np.concatenate([base, base + 0.1 * normal(rng, 300, 256)]).astype(np.float32))
    assert pair_products._proposed(rows, rows, 0.97, True).sum() == 600 + 600


def test_bf16_is_tried_and_the_pairs_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_products, "can_use_bf16", lambda: True)
    monkeypatch.setattr(trial, "LEAST_SECONDS", 0.0)
    pair_products._trial.cache_clear()
    rows = unit_rows(normal(np.random.default_rng(3), 200, 5).astype(np.float32))
    wanted = pairs_at_least(rows, rows, 0.9, bf16=False)
    for _ in range(9):
        for ours, theirs in zip(pairs_at_least(rows, rows, 0.9), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert pair_products._trial(5).taken in ("plain", "other")
    pair_products._trial.cache_clear()
