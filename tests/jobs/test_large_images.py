"""One image of 12,000 x 9,000 among small ones: what it takes of memory, and that the others come to no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from tests.jobs.images import frame_of, jpeg
from twigma_spark.config.settings import Config
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.transforms.inference import Feed, infer

pytestmark = pytest.mark.slow
SIZE = (12_000, 9_000)
# Bytes that decoding takes for each pixel, by the path `fast`, as conf/base.yaml says: libjpeg decodes at an
# eighth of the size; a PNG is held as 3 bytes a pixel beside its file.
MOST = {"large.jpg": 1, "large.png": 5}

LOOP = """
import json, re, sys
from pathlib import Path
from tests.jobs.images import jpeg
from twigma_spark.config.settings import Config
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.runner import run_batches

def memory(line):
    return int(re.search(line + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def taken(large):
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory("VmRSS")
    values = [value for part in run_batches([small, large, small], loaded, batch_size=4) for value in part.values]
    assert len(values) == 16 + len(large) and all(value is not None for value in values), values
    return memory("VmHWM") - before

loaded = ClipImage(ClipSource(path="sample:clip"), max_pixels=Config().ingest.max_pixels).setup(threads=1)
small = [jpeg(n) for n in range(8)]
for _ in range(3):
    taken([])
files = {name: Path(name).read_bytes() for name in sys.argv[1:]}
print(json.dumps({Path(name).name: taken([content]) for name, content in files.items()}))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The image as a JPEG and as a PNG, of a few stripes."""
    folder = tmp_path_factory.mktemp("large")
    image = Image.new("RGB", SIZE, (200, 120, 40))
    for n in range(6):
        image.paste((40 * n, 30, 255 - 40 * n), (2000 * n, 0, 2000 * n + 900, SIZE[1]))
    files = {name: folder / name for name in MOST}
    for path in files.values():
        image.save(path, **({"compress_level": 1} if path.suffix == ".png" else {}))
    return files


def test_memory_stays_within_what_is_stated(large: dict[str, Path]) -> None:
    command = [sys.executable, "-c", LOOP, *map(str, large.values())]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    taken = {name: peak / (SIZE[0] * SIZE[1]) for name, peak in json.loads(ended.stdout).items()}
    assert {name: each for name, each in taken.items() if each > MOST[name]} == {}, taken
    assert taken["large.png"] > 2, "a PNG cannot be decoded at a smaller size: was it decoded at all?"


def test_rows_beside_it_are_whole(spark: SparkSession, large: dict[str, Path]) -> None:
    small = [jpeg(n) for n in range(5)]
    files = [
        *small[:2],
        large["large.jpg"].read_bytes(),
        b"broken",
        *small[2:4],
        large["large.png"].read_bytes(),
        small[4],
    ]
    images = frame_of(spark, files).select("image_id", "source_key", "content")
    model = ClipImage(ClipSource(path="sample:clip"), max_pixels=Config().ingest.max_pixels)
    one_task = images.repartition(1, "image_id")
    rows = infer(one_task, "content", model, "array<float>", Feed(batch_size=3)).collect()
    found = {int(row.source_key.removesuffix(".jpg")): row for row in rows}
    assert len(rows) == len(found) == len(files)
    assert {n for n, row in found.items() if row.value is None} == {3}
    assert found[3].error.startswith("not_an_image")
    alone = model.setup(threads=1)(small)
    for n, expected in zip([0, 1, 4, 5, 7], alone, strict=True):
        assert found[n].value == pytest.approx(expected.tolist(), abs=1e-5)
