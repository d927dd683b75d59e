"""The examples of docs/extending.md, carried out in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TWIGMA = "from twigma_spark.cli import main; main()"
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def example(heading: str) -> str:
    """Return the first block of code after a line that begins with `heading`."""
    found = re.search(rf"^{re.escape(heading)}.*?\n```[a-z]+\n(.*?)```", PAGE, re.S | re.M)
    assert found, heading
    return found[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the package and its configuration."""
    for name in ("twigma_spark", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def insert(path: Path, after: str, line: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(after) == 1, after
    path.write_text(text.replace(after, after + line), encoding="utf-8")


def ran(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_a_reader_is_a_file_and_a_line(copy: Path) -> None:
    place = copy / "twigma_spark" / "stages" / "readers" / "listed.py"
    place.write_text(example("`twigma_spark/stages/readers/listed.py`"), encoding="utf-8")
    line = example("`twigma_spark/config/data.py`, a line of `READERS`:")
    insert(copy / "twigma_spark" / "config" / "data.py", "READERS: Mapping[str, str] = {\n", line)
    (copy / "pictures").mkdir()
    for i, name in enumerate(("a.png", "b.png", "not_listed.png")):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(copy / "pictures" / name)
    (copy / "list.csv").write_text("file\na.png\nb.png\ngone.png\n", encoding="utf-8")
    corpus = "{name: mine, role: posts, reader: READER, path: pictures, metadata: list.csv}"
    (copy / "mine.yaml").write_text(f"store: {{root: tables}}\ncorpora:\n  - {corpus}\n", encoding="utf-8")
    wrong = ran(copy, "-c", TWIGMA, "run", "--conf", "mine.yaml", "--dry-run")
    assert "reader: must be one of listed, folder, x_api. Got 'READER'" in wrong.stderr
    own = (copy / "mine.yaml").read_text(encoding="utf-8").replace("READER", "listed")
    (copy / "mine.yaml").write_text(own, encoding="utf-8")
    done = ran(copy, "-c", TWIGMA, "stage", "ingest", "--conf", "mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 images, 0 tweets, 0 media; 1 rejects" in done.stdout


def test_a_statistic_has_a_line_in_the_catalogue(copy: Path) -> None:
    line = example("`twigma_spark/metrics.py`, a line of the analysis `activity`:")
    insert(copy / "twigma_spark" / "metrics.py", '"activity", "activity", TWIGMA,\n', line)
    code = """
from twigma_spark import metrics
print(metrics.find("activity", "median").section)
print(metrics.format_markdown())
"""
    done = ran(copy, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("table_only\n") and "| `median` | Median posts a month |" in done.stdout
