"""The map's model: membership strengths, where a vector is put, files, and UMAP itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twigma_spark.estimators import projection
from twigma_spark.estimators.projection import Layout, Projection


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def model() -> Projection:
    rng = np.random.default_rng(1)
    return Projection(unit(rng.standard_normal((40, 8))), rng.standard_normal((40, 2)).astype(np.float32), 6)


def test_strengths_fall_with_the_distance_and_sum_to_log2_of_k() -> None:
    distance = np.sort(np.random.default_rng(2).uniform(0.1, 1.5, (30, 7)), axis=1)
    found = projection.strengths(distance)
    np.testing.assert_allclose(found.sum(axis=1), np.log2(7), rtol=1e-6)
    assert (found[:, 0] == 1).all() and (np.diff(found, axis=1) <= 0).all()


def test_equally_near_landmarks_weigh_the_same() -> None:
    np.testing.assert_allclose(projection.strengths(np.full((1, 5), 0.3)), 1.0)


def test_a_landmark_is_at_its_own_place(model: Projection) -> None:
    np.testing.assert_array_equal(projection.place(model, model.landmarks), model.places)


def test_another_vector_is_among_its_nearest_landmarks(model: Projection) -> None:
    rows = unit(np.random.default_rng(3).standard_normal((25, 8)))
    near = np.argsort(-(rows @ model.landmarks.T), axis=1)[:, :6]
    found = projection.place(model, rows)
    for at, own in zip(found, near, strict=True):
        assert (model.places[own].min(axis=0) <= at).all() and (at <= model.places[own].max(axis=0)).all()
    weights = projection.strengths(1.0 - np.take_along_axis(rows @ model.landmarks.T, near, 1).astype(np.float64))
    wanted = np.einsum("ij,ijk->ik", weights, model.places[near]) / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_places_do_not_depend_on_the_batch(model: Projection, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(np.random.default_rng(4).standard_normal((50, 8)))
    whole = projection.place(model, rows)
    monkeypatch.setattr(projection, "CHUNK", 7)
    np.testing.assert_allclose(projection.place(model, rows), whole, atol=1e-5)
    assert projection.place(model, rows[:0]).shape == (0, 2)


def test_a_saved_model_is_the_same(model: Projection, tmp_path: Path) -> None:
    projection.save(model, tmp_path / "there" / "umap.npz")
    again = projection.load(tmp_path / "there" / "umap.npz")
    np.testing.assert_array_equal(again.landmarks, model.landmarks)
    np.testing.assert_array_equal(again.places, model.places)
    assert again.neighbours == 6 and [p.name for p in (tmp_path / "there").iterdir()] == ["umap.npz"]


def test_umap_keeps_groups_together_and_is_the_same_for_a_seed() -> None:
    rng = np.random.default_rng(5)
    rows = unit(np.repeat(np.eye(6)[:3], 20, axis=0) + 0.05 * rng.standard_normal((60, 6)))
    one, again, other = (projection.fit(rows, Layout(8, 0.1, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.places, again.places)
    assert not np.array_equal(one.places, other.places)
    near = np.argsort(np.linalg.norm(one.places[:, None] - one.places[None], axis=2), axis=1)[:, 1:6]
    assert (near // 20 == np.arange(60)[:, None] // 20).mean() > 0.98
