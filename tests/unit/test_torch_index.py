"""Search by torch: FAISS's answers, on one device or on two."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from twigma_spark.estimators import faiss_index, torch_index
from twigma_spark.estimators.neighbour_search import nearest
from twigma_spark.estimators.torch_index import TorchFlatIndex, cuda_devices
from twigma_spark.vectors import unit_rows


def vectors(rows: int, seed: int, dim: int = 16) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32))


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"], ["cpu"] * 5])
@pytest.mark.parametrize("cells", [1, 700, 1 << 20])
def test_answers_are_those_of_faiss(devices: list[str], cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_index, "CELLS", cells)
    references, queries = vectors(203, 1), vectors(31, 2)
    index = faiss.IndexFlatIP(16)
    index.add(references)
    theirs, their_rows = index.search(queries, 7)
    ours, rows = TorchFlatIndex(references, devices).search(queries, 7)
    assert (ours.dtype, rows.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(rows, their_rows)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_more_devices_than_references_and_no_queries() -> None:
    index = TorchFlatIndex(vectors(2, 3), ["cpu"] * 3)
    _, rows = index.search(vectors(4, 4), 2)
    assert np.sort(rows).tolist() == [[0, 1]] * 4
    assert index.search(vectors(0, 5), 2)[1].shape == (0, 2)


def test_a_driver_without_faiss_for_gpus_searches_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    references = vectors(50, 6)
    references[20:30] = references[3]  # ties, which are in order of the ids
    index = faiss.IndexFlatIP(16)
    index.add(references)
    ids = pa.array([f"{(7 * n) % 50:02}" for n in range(50)])
    plain = faiss_index.attach_ids(index, ids)
    monkeypatch.setattr(torch_index, "cuda_devices", lambda: ["cpu", "cpu"])
    on_devices = faiss_index.attach_ids(index, ids)
    assert plain.searcher is None
    assert isinstance(on_devices.searcher, TorchFlatIndex)
    queries = vectors(20, 7)
    for theirs, ours in zip(nearest(plain, queries, 5), nearest(on_devices, queries, 5), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_driver_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch_index, "DRIVER", tmp_path / "none")
    assert cuda_devices() == []
