"""FAISS, loaded so that its matrix products use the processor: import it from here.

The OpenBLAS in FAISS's wheels is older than AMD's Zen 3 and misjudges what came after: on two cores of an EPYC 9004,
exact search ran at 70 GFLOP/s, and at 190 with the Haswell kernels, which all of these processors can run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np  # noqa: F401 - its own OpenBLAS, which knows the processor, is loaded before

__all__ = ["core_type", "faiss"]

VARIABLE = "OPENBLAS_CORETYPE"
ZEN_3 = 25


def core_type(cpuinfo: str) -> str | None:
    """Return the kernels to ask of FAISS's OpenBLAS, or None where its own choice is good.

    Args:
        cpuinfo: what Linux says in /proc/cpuinfo.
    """
    lines = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    said = {key.strip(): value.strip() for key, _, value in lines}
    newer = said.get("vendor_id") == "AuthenticAMD" and int(said.get("cpu family", 0)) >= ZEN_3
    return "Haswell" if newer and "avx2" in said.get("flags", "").split() else None


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
