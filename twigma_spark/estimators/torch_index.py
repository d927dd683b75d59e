"""Exact inner-product search on GPUs by torch, for a FAISS that was built without them; nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.models.device import cuda_count

DRIVER = Path("/dev/nvidiactl")
# Inner products held at once on a device, four bytes each.
CELLS = 1 << 30


class TorchFlatIndex:
    """References on one device or several, and their search as `faiss.IndexFlatIP.search` does it.

    Products are of float32, without TF32, so that they are as exact as FAISS's.

    Args:
        vectors: references (n, d) float32.
        devices: torch's names, such as "cuda:0"; each holds an equal part of the references.
    """

    def __init__(self, vectors: NDArray[np.float32], devices: Sequence[str]) -> None:
        import torch

        parts = np.array_split(np.arange(len(vectors)), len(devices))
        self.ntotal, self.d = vectors.shape
        self._parts = [
            (int(rows[0]), torch.from_numpy(vectors[rows[0] : rows[-1] + 1]).to(device).T)
            for rows, device in zip(parts, devices, strict=True)
            if len(rows)
        ]

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return inner products (n, k) float32, falling, and rows of the references (n, k) int64.

        Args:
            queries: (n, d) float32.
            k: at most `ntotal`.
        """
        import torch

        rows = max(1, CELLS // max(1, self.ntotal))
        blocks = [self._search_block(queries[at : at + rows], k) for at in range(0, len(queries), rows)]
        if not blocks:
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        products, places = (torch.cat(parts).numpy() for parts in zip(*blocks, strict=True))
        return products, places

    def _search_block(self, queries: NDArray[np.float32], k: int) -> tuple[Any, Any]:
        """Return products and rows of a block on the CPU; every device is given its work before one is waited for."""
        import torch

        host = torch.from_numpy(np.ascontiguousarray(queries))
        begun = []
        for first, references in self._parts:
            products = host.to(references.device, non_blocking=True) @ references
            best, place = torch.topk(products, min(k, products.shape[1]))
            begun.append((best, place + first))
        best, place = (torch.cat([part.cpu() for part in parts], dim=1) for parts in zip(*begun, strict=True))
        if len(begun) == 1:
            return best, place
        best, order = torch.topk(best, k)
        return best, torch.gather(place, 1, order)


def cuda_devices() -> list[str]:
    """Return torch's names of the GPUs; none where there is no driver or no torch."""
    if not DRIVER.exists():
        return []  # before torch is imported, which takes seconds
    try:
        return [f"cuda:{n}" for n in range(cuda_count())]
    except ImportError:
        return []
