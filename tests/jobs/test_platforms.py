"""What is pinned for a platform: it installs into a fresh environment of its Python, imports, and runs a stage.

Spark is the platform's own, so PySpark of this environment stands in for it.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.demos import TWIGMA

pytestmark = pytest.mark.faults
ROOT = Path(__file__).resolve().parents[2]
PIN = runpy.run_path(str(ROOT / "deploy" / "pin.py"))
IMPORT_ALL = """
import importlib, pkgutil, twigma_spark
for module in pkgutil.walk_packages(twigma_spark.__path__, "twigma_spark."):
    importlib.import_module(module.name)
"""
IMPORT_STAGES = "import twigma_spark.cli.main, twigma_spark.pipeline"


def run(*command: str | Path) -> str:
    """Return what a command prints, with this package in reach and no environment but the command's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_", "VIRTUAL"))}
    ended = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize(("name", "runtime"), PIN["RUNTIMES"].items(), ids=PIN["RUNTIMES"])
def test_the_packages_of_a_platform_install_import_and_run_a_stage(name: str, runtime: Any, tmp_path: Path) -> None:
    python, uv = tmp_path / "env" / "bin" / "python", (sys.executable, "-m", "uv")
    if subprocess.run((*uv, "python", "find", "--no-project", runtime.python), capture_output=True).returncode:
        pytest.skip(f"Python {runtime.python} is missing")
    run(*uv, "venv", "--python", runtime.python, tmp_path / "env")
    install = (*uv, "pip", "install", "--python", python)
    run(*install, "--require-hashes", "-r", PIN["FOLDER"] / f"{name}.txt")
    run(*install, "--no-deps", *(f"{each}=={version(each)}" for each in ("pyspark", "py4j")))
    run(*uv, "pip", "check", "--python", python)
    run(python, "-c", IMPORT_ALL if "models" in runtime.extras else IMPORT_STAGES)
    run(python, ROOT / "deploy" / "local" / "prepare.py")
    (tmp_path / "own").mkdir()
    for shade in range(3):
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / "own" / f"{shade}.png")
    conf = tmp_path / "conf.yaml"
    conf.write_text(
        f"store: {{root: {tmp_path / 'tables'}}}\ncorpora:\n  - {{name: own, role: posts, path: {tmp_path / 'own'}}}\n"
    )
    shown = run(python, *TWIGMA[1:], "run", "--conf", conf, "--only", "ingest")
    assert "3 images" in shown, shown
