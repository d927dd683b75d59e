"""FAISS, loaded so that its matrix products use the processor: import it from here.

The OpenBLAS in FAISS's wheels is older than AMD's Zen 3 and than Intel's Emerald Rapids and misjudges what came after:
on two cores of an EPYC 9004, exact search ran at 70 GFLOP/s, and at 190 with the Haswell kernels; on a core of a Xeon
that it took for a Prescott at 32, and at 150 with those of Skylake-X. `products` says what NumPy's does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np  # noqa: F401 - its own OpenBLAS is loaded before

__all__ = ["core_type", "faiss"]

VARIABLE = "OPENBLAS_CORETYPE"
ZEN_3 = 25
# What the kernels of Skylake-X are made of.
SKYLAKE_X = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


def core_type(cpuinfo: str) -> str | None:
    """Return the kernels to ask of FAISS's OpenBLAS, or None where its own choice is good.

    Args:
        cpuinfo: what Linux says in /proc/cpuinfo.
    """
    lines = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    maker, flags = fields.get("vendor_id"), set(fields.get("flags", "").split())
    if maker == "GenuineIntel" and flags >= SKYLAKE_X:
        return "SkylakeX"
    newer = maker == "GenuineIntel" or (maker == "AuthenticAMD" and int(fields.get("cpu family", 0)) >= ZEN_3)
    return "Haswell" if newer and flags >= {"avx2", "fma"} else None


@contextmanager
def _kernels() -> Iterator[None]:
    """Ask for the right kernels while inside; what the user has set stands."""
    cpuinfo = Path("/proc/cpuinfo")
    wanted = core_type(cpuinfo.read_text()) if cpuinfo.exists() else None
    if wanted is None or VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = wanted
    try:
        yield
    finally:
        del os.environ[VARIABLE]


with _kernels():
    import faiss
