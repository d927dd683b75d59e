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

from twigma_spark.config.data import READERS

ROOT = Path(__file__).resolve().parents[2]
TWIGMA = "from twigma_spark.cli.main import main; main()"
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


def insert(path: Path, place: str, text: str, before: bool = False) -> None:
    """Put `text` after the place in a file, or before it."""
    whole = path.read_text(encoding="utf-8")
    assert whole.count(place) == 1, place
    path.write_text(whole.replace(place, text + place if before else place + text), encoding="utf-8")


def ran(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def add_reader(copy: Path) -> None:
    place = copy / "twigma_spark" / "stages" / "readers" / "listed.py"
    place.write_text(example("`twigma_spark/stages/readers/listed.py`"), encoding="utf-8")
    line = example("`twigma_spark/config/data.py`, a line of `READERS`:")
    insert(copy / "twigma_spark" / "config" / "data.py", "READERS: Mapping[str, str] = {\n", line)


def add_stage(copy: Path) -> None:
    package = copy / "twigma_spark"
    (package / "stages" / "sizes.py").write_text(example("`twigma_spark/stages/sizes.py`"), encoding="utf-8")
    insert(package / "schemas.py", "TABLES: dict[", example("`twigma_spark/schemas.py`, a table"), before=True)
    insert(package / "schemas.py", "GROUP_DISTANCES, REPORTS,", " SIZES,")
    section = example("`twigma_spark/config/analyses.py`, its section")
    insert(package / "config" / "analyses.py", "class Report(StageSection):\n", section, before=True)
    insert(package / "config" / "settings.py", "    Report,\n", "    Sizes,\n")
    insert(package / "config" / "settings.py", "    trends: Trends = Trends()\n", "    sizes: Sizes = Sizes()\n")
    insert(package / "pipeline.py", "    score,\n", "    sizes,\n")
    insert(package / "pipeline.py", "    trends.STAGE,\n", "    sizes.STAGE,\n")


@pytest.mark.slow
def test_a_reader_is_a_file_and_a_line_and_a_stage_has_its_table_and_section(copy: Path) -> None:
    add_reader(copy)
    add_stage(copy)
    (copy / "pictures").mkdir()
    for i, name in enumerate(("a.png", "b.png", "c.png", "not_listed.png")):
        Image.new("RGB", (8 + i // 2, 8), (40 * i, 0, 0)).save(copy / "pictures" / name)
    (copy / "list.csv").write_text("file\na.png\nb.png\nc.png\ngone.png\n", encoding="utf-8")
    corpus = "{name: mine, role: posts, reader: READER, path: pictures, metadata: list.csv}"
    (copy / "mine.yaml").write_text(f"store: {{root: tables}}\ncorpora:\n  - {corpus}\n", encoding="utf-8")
    wrong = ran(copy, "-c", TWIGMA, "run", "--conf", "mine.yaml", "--dry-run")
    assert f"reader: must be one of listed, {', '.join(READERS)}. Got 'READER'" in wrong.stderr
    own = (copy / "mine.yaml").read_text(encoding="utf-8").replace("READER", "listed")
    (copy / "mine.yaml").write_text(own + "sizes: {least: 2}\n", encoding="utf-8")
    done = ran(copy, "-c", TWIGMA, "run", "--conf", "mine.yaml", "--only", "ingest", "--only", "sizes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 images, 0 raw_posts, 0 posts, 0 media; 1 rejects" in done.stdout
    assert "1 sizes" in done.stdout, done.stdout


def test_a_score_is_a_class_a_spec_and_a_line(copy: Path) -> None:
    models = copy / "twigma_spark" / "models"
    (models / "brightness.py").write_text(example("`twigma_spark/models/brightness.py`"), encoding="utf-8")
    section = example("`twigma_spark/config/models.py`, a class")
    insert(copy / "twigma_spark" / "config" / "models.py", "ImageModel = Annotated", section, before=True)
    insert(copy / "twigma_spark" / "config" / "models.py", "ScoreModel = Annotated[", "Brightness | ")
    line = example("`twigma_spark/models/registry.py`, a line of `_SCORERS`:").strip()
    insert(models / "registry.py", "_SCORERS: Mapping[str, _Builder[Scorer]] = {", line)
    imported = "from twigma_spark.models.brightness import BrightnessScorer\n"
    insert(models / "registry.py", "from twigma_spark.models.clip_source import ClipSource\n", imported)
    code = """
import io
from PIL import Image

from twigma_spark.config.data import READERS
from twigma_spark.config.overlays import load
from twigma_spark.stages import specs
cfg = load([], ["models.scores={bright: {kind: brightness}}"])
(name, scorer), = specs.scorers(cfg).items()
images = [io.BytesIO(), io.BytesIO()]
for file, colour in zip(images, ("white", "black")):
    Image.new("RGB", (9, 7), colour).save(file, "PNG")
print(name, specs.scorer_id(cfg, scorer), scorer.setup()([file.getvalue() for file in images]).tolist())
"""
    done = ran(copy, "-c", code)
    assert done.stdout == "bright brightness [1.0, 0.0]\n", done.stderr


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
