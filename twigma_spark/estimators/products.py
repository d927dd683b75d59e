"""Products of matrices by SciPy's BLAS.

NumPy 1.26, which Spark 3.5 and petastorm need, has an OpenBLAS that takes Intel's Emerald Rapids for a Prescott: 32
GFLOP/s on a core that does 150 with SciPy's, which is as new as SciPy is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import sgemm

from twigma_spark.estimators.blas import faiss


def inner_products(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the inner products (n, m) of rows (n, d) with others (m, d), in float32.

    An array that is not contiguous is copied.
    """
    if not rows.size or not others.size:
        return np.zeros((len(rows), len(others)), np.float32)
    # BLAS counts columns first: it is given the transposes, and gives one.
    return np.asarray(sgemm(1.0, others.T, rows.T, trans_a=True).T)


def products_of_pairs(
    rows: NDArray[np.float32], row: NDArray[np.int64], others: NDArray[np.float32], other: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the inner products (n,) of the pairs rows[row], others[other], in float32, each as FAISS computes one."""
    products = np.empty(len(row), np.float32)
    pointers = (faiss.swig_ptr(each) for each in (rows, row, others, other, products))
    faiss.pairwise_indexed_inner_product(rows.shape[1], len(row), *pointers)  # type: ignore[attr-defined]
    return products


def gamma(terms: int, unit: float) -> float:
    """Return γ of a sum of products: what it may be off by, in whatever order it is added, for sizes that add up to 1.

    Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.1.
    """
    return terms * unit / (1 - terms * unit)


def rounding_of_products(dim: int) -> float:
    """Return what such a product of two vectors of length 1 may be off by, and what is subtracted from it after."""
    return gamma(dim + 2, 2.0**-23)
