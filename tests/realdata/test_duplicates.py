"""Copies planted among the real images: which of them are found, and that nothing else is."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pyspark.sql import SparkSession

from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.io.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.realdata]
IMAGES, COPIED = 150, 12
Change = Callable[[Image.Image], Image.Image]


def crop(share: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        lost = [round(side * share) for side in image.size]
        left, top = lost[0] // 3, lost[1] // 4
        return image.crop((left, top, image.width - lost[0] + left, image.height - lost[1] + top))

    return change


def scale(factor: float) -> Change:
    return lambda image: image.resize([round(side * factor) for side in image.size])


def write_on(image: Image.Image) -> Image.Image:
    changed = image.copy()
    font = ImageFont.load_default(image.height // 12)
    ImageDraw.Draw(changed).text((9, image.height * 0.85), "www.example.org", "white", font)
    return changed


CHANGES: dict[str, tuple[Change, int]] = {
    "q30": (lambda image: image, 30),
    "q90": (lambda image: image, 90),
    "half": (scale(0.5), 90),
    "double": (scale(2), 90),
    "grey": (ImageOps.grayscale, 90),
    "crop2": (crop(0.02), 90),
    "crop5": (crop(0.05), 90),
    "text": (write_on, 90),
    "mirror": (ImageOps.mirror, 90),
}


def jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


@pytest.fixture(scope="module")
def store(spark: SparkSession, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Images with changed copies of a few, and those few again in another corpus at half their size."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "own").mkdir()
    (folder / "other").mkdir()
    genai, art = (sorted((shared_data / corpus).glob("*.jpg")) for corpus in ("genai", "art"))
    files = [*genai[: IMAGES - 50], *art[:50]]
    rng = np.random.default_rng(7)
    copied = set(rng.choice(len(files), COPIED, replace=False).tolist())
    for number, file in enumerate(files):
        image = Image.open(file).convert("RGB")
        (folder / "own" / file.name).write_bytes(file.read_bytes())
        if number in copied:
            (folder / "other" / file.name).write_bytes(jpeg(scale(0.5)(image), 80))
            for name, (change, quality) in CHANGES.items():
                (folder / "own" / f"{file.stem}~{name}.jpg").write_bytes(jpeg(change(image), quality))
    encoder = shared_data / "models" / "nsfw_mobilenet_v2.onnx"
    (folder / "conf.yaml").write_text(
        f"store: {{root: {folder / 'tables'}}}\n"
        f"corpora:\n"
        f"  - {{name: own, role: posts, path: {folder / 'own'}}}\n"
        f"  - {{name: other, role: art, path: {folder / 'other'}}}\n"
        f"models: {{image: {{kind: onnx, path: {encoder}, output: flatten_1_o}}, caption: null}}\n"
    )
    store = Store(spark, str(folder / "tables"))
    pipeline.run(load([folder / "conf.yaml"]), store, pipeline.select(last="deduplicate"), lambda text: None)
    return store


def test_planted_copies_are_found_and_nothing_else(store: Store) -> None:
    names = store.read("images").select("image_id", "source_key")
    pairs = (
        store.read("duplicates").join(names, "image_id").join(names.toDF("canonical_id", "canonical"), "canonical_id")
    )
    group = {row["source_key"]: row["canonical"] for row in pairs.collect()}
    found: Counter[str] = Counter()
    for copy, canonical in group.items():
        assert Path(copy).stem.split("~")[0] == Path(canonical).stem.split("~")[0], (copy, canonical)
    for key in {row["source_key"] for row in names.where("corpus = 'own'").collect()}:
        stem, _, change = Path(key).stem.partition("~")
        found[change] += change != "" and group.get(key, key) == group.get(f"{stem}.jpg", f"{stem}.jpg")
    assert {name: found[name] for name in CHANGES if name != "mirror"} == dict.fromkeys(
        set(CHANGES) - {"mirror"}, COPIED
    )
    assert found["mirror"] == 0


def test_copies_in_another_corpus_are_found_and_stay(store: Store) -> None:
    assert store.read("shared_images").where("corpus = 'other' AND other_corpus = 'own'").count() == COPIED
    assert store.read("images").where("corpus = 'other'").count() == COPIED
    (row,) = store.read("results").where("metric = 'shared_images' AND labels['corpus'] = 'other'").collect()
    assert row["estimate"] == 1.0 and row["n"] == COPIED
