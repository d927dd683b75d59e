"""The vectors of one corpus, and the groups that they are resampled by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The vectors of one corpus.

    Attributes:
        vectors: (n, d) float32; taken as they are, so scale them to unit length for directions.
        groups: label of each row's post, prompt or artist (n,), the unit that is resampled; None: the row.
        unit: what a group is, such as "posts".
    """

    vectors: Vectors
    groups: NDArray[Any] | None = None
    unit: str = "images"

    @property
    def codes(self) -> Codes:
        """The group of each row (n,), from 0 without gaps."""
        return group_codes(self.groups, len(self.vectors))

    def rows(self, taken: NDArray[Any]) -> Sample:
        """Return the sample of the rows that a mask or indices name."""
        groups = None if self.groups is None else self.groups[taken]
        return replace(self, vectors=self.vectors[taken], groups=groups)

    def draw_groups(self, at_most: int, seed: int) -> Sample:
        """Return whole groups in random order until `at_most` rows are there; all where there are no more."""
        if len(self.vectors) <= at_most:
            return self
        codes = self.codes
        order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
        sizes = np.bincount(codes)[order]
        # The first group is taken even where it alone has more rows.
        enough = max(1, int(np.searchsorted(np.cumsum(sizes), at_most, side="right")))
        return self.rows(np.isin(codes, order[:enough]))


def of_equal_size(samples: Mapping[str, Sample], least: int, seed: int) -> tuple[dict[str, Sample], int]:
    """Return samples of about as many rows as the smallest has, in whole groups, and that number.

    Divergences by clusters or neighbours depend on the numbers of both sides: only at equal ones can those of two
    pairs be compared. A sample of fewer than `least` rows does not count, and stays as it is.

    Args:
        samples: by name.
        least: rows that a sample needs to count.
        seed: of the draw.
    """
    sizes = [len(sample.vectors) for sample in samples.values() if len(sample.vectors) >= least]
    size = min(sizes, default=0)
    return {name: sample.draw_groups(size, seed) if size else sample for name, sample in samples.items()}, size


def group_codes(labels: NDArray[Any] | None, n: int) -> Codes:
    """Return codes (n,) from 0 without gaps for labels (n,); None makes each of n rows a group of its own."""
    if labels is None:
        return np.arange(n, dtype=np.int64)
    return np.asarray(np.unique(labels, return_inverse=True)[1].reshape(-1), np.int64)
