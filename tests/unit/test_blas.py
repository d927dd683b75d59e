"""Which kernels FAISS's OpenBLAS is asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from twigma_spark.estimators.blas import core_type

ONE = "processor\t: {n}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"


def cpuinfo(vendor: str, family: int, flags: str) -> str:
    return "\n".join(ONE.format(n=n, vendor=vendor, family=family, flags=flags) for n in range(2))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (cpuinfo("AuthenticAMD", 25, "fpu avx2 fma"), "Haswell"),
        (cpuinfo("AuthenticAMD", 26, "avx2 fma avx512f"), "Haswell"),
        (cpuinfo("AuthenticAMD", 23, "avx2 fma"), None),
        (cpuinfo("AuthenticAMD", 25, "sse4_2"), None),
        (cpuinfo("GenuineIntel", 6, "avx2 fma"), "Haswell"),
        (cpuinfo("GenuineIntel", 6, "avx2 fma avx512f"), "Haswell"),
        (cpuinfo("GenuineIntel", 6, "avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl amx_bf16"), "SkylakeX"),
        (cpuinfo("GenuineIntel", 6, "sse4_2"), None),
        ("Processor\t: ARMv8\nFeatures\t: asimd\n", None),
        ("", None),
    ],
)
def test_processors_get_kernels_that_they_can_run(said: str, wanted: str | None) -> None:
    assert core_type(said) == wanted


def test_the_environment_is_left_as_it_was() -> None:
    code = "import os; from twigma_spark.estimators import blas; print(os.environ.get(blas.VARIABLE))"
    for given, left in ((None, "None"), ("Haswell", "Haswell")):
        env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        env |= {"OPENBLAS_CORETYPE": given} if given else {}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == left
