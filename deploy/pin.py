"""Pins every package of each runtime anew: `python deploy/pin.py`; needs uv and a package index.

The files ship with the wheel, as what EMR's bootstrap and the Databricks bundle install from.
tests/unit/test_constraints.py holds that they agree with setup.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "constraints"


@dataclass(frozen=True)
class Runtime:
    """What is pinned for one runtime: its Python, the extras that its stages need, and the runtime's own pins.

    Packages that it shares with the runtime `like` have the same versions there.
    """

    python: str
    extras: tuple[str, ...]
    pins: tuple[str, ...]
    like: str | None = None


MODELS = ("models", "gpu", "umap", "stats")
RUNTIMES = {
    # The runtime's numpy, pyarrow and torch stay, so that no gigabytes are installed; protobuf 5 would be above what
    # its own packages were built for.
    "databricks": Runtime(
        "3.12", MODELS, ("numpy==1.26.4", "pyarrow==15.0.2", "torch==2.6.0", "torchvision==0.21.0", "protobuf<5")
    ),
    # torch 2.11 is built for CUDA 13, which wants driver 580; CUDA 12 runs from driver 525 on.
    "emr": Runtime("3.11", (*MODELS, "s3"), ("pyarrow==15.0.2", "torch<2.11")),
    # No GPUs there and so no models: no torch, which with CUDA's libraries takes gigabytes.
    "emr_serverless": Runtime("3.11", ("cpu", "umap", "stats", "s3"), ("pyarrow==15.0.2",), like="emr"),
}


def versions(text: str) -> list[str]:
    """Return the pins of a file, each as name==version."""
    return re.findall(r"^[A-Za-z0-9_.-]+==\S+", text, re.MULTILINE)


def compile_pins(name: str, runtime: Runtime) -> None:
    """Write the file of one runtime."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        shared = versions((FOLDER / f"{runtime.like}.txt").read_text(encoding="utf-8")) if runtime.like else []
        pins.write("\n".join([*runtime.pins, *shared]))
        pins.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", "setup.py", "--constraints", pins.name]
        command += [word for extra in runtime.extras for word in ("--extra", extra)]
        command += ["--python-version", runtime.python, "--python-platform", "x86_64-manylinux_2_34"]
        command += ["--generate-hashes", "--no-annotate", "--upgrade", "--quiet"]
        command += ["--custom-compile-command", "python deploy/pin.py", "-o", str(FOLDER / f"{name}.txt")]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    for name, runtime in RUNTIMES.items():
        compile_pins(name, runtime)
