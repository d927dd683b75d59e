"""The wheel holds what a checkout has: configuration files, templates, the sample's models."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("twigma_spark", "conf", "deploy", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel unpacked, as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        (source / part).symlink_to(ROOT / part)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def python(installed: Path, folder: Path, code: str) -> str:
    """Return what Python prints in an empty folder, with nothing of the checkout in reach."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_configuration_file_loads_by_its_name(installed: Path, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (ROOT / "conf").glob("*.yaml"))
    code = f"""
import twigma_spark
from twigma_spark.config.overlays import load
print(twigma_spark.__file__)
for name in {names}: load([name])
print(load(["sample"]).sample.out)
"""
    lines = python(installed, tmp_path, code).splitlines()
    assert lines == [str(installed / "twigma_spark" / "__init__.py"), "build/demo/sample"]


def test_templates_and_models_come_along(installed: Path) -> None:
    for folder in ("report/templates", "sample/weights"):
        there = {path.name for path in (installed / "twigma_spark" / folder).rglob("*") if path.is_file()}
        wanted = {path.name for path in (ROOT / "twigma_spark" / folder).rglob("*") if path.is_file()}
        assert there == wanted


def test_the_files_of_clusters_come_along(installed: Path) -> None:
    deployment = installed / "twigma_spark" / "deployment"
    for name, source in (("emr_files", "emr"), ("constraints", "constraints")):
        wanted = {path.name for path in (ROOT / "deploy" / source).glob("*.*")}
        assert wanted and wanted <= {path.name for path in (deployment / name).iterdir()}


def test_jobs_are_written_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    (wheel,) = installed.parent.glob("*.whl")
    code = f"""
from twigma_spark.cli.main import main
for platform in ("databricks", "emr"): main(["deploy", platform, "--out", platform, "--wheel", {str(wheel)!r}])
"""
    said = python(installed, tmp_path, code)
    assert said.count("nothing is wrong") == 2
    assert (tmp_path / "databricks" / "requirements.txt").read_bytes() == (
        ROOT / "deploy" / "constraints" / "databricks.txt"
    ).read_bytes()
    assert (tmp_path / "emr" / "wheels" / wheel.name).read_bytes() == wheel.read_bytes()
