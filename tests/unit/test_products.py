"""Products of matrices by SciPy's BLAS."""

from __future__ import annotations

import numpy as np
import pytest

from twigma_spark.estimators.products import inner_products


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (2, 3, 0), (1, 1, 1), (7, 5, 33), (300, 40, 64)])
@pytest.mark.parametrize("step", [1, 2])
def test_inner_products_are_those_of_numpy_and_lie_in_rows(shape: tuple[int, int, int], step: int) -> None:
    n, m, d = shape
    rng = np.random.default_rng(0)
    rows, others = (rng.standard_normal((step * size, d), dtype=np.float32)[::step] for size in (n, m))
    found = inner_products(rows, others)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, rows.astype(float) @ others.T.astype(float), atol=1e-4)
