"""BLIP through this package writes what BLIP through transformers alone writes."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.test_models_clip import jpegs
from twigma_spark.errors import ModelError
from twigma_spark.models import tiny
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.runner import run_batches

WORDS = tiny.vocabulary(["a red dog on a hill by the sea", "two cats and three birds sit in a green tree"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_writer(tmp_path_factory.mktemp("models") / "writer")


def save_writer(where: Path) -> Path:
    """Save a tiny BLIP whose weights are wide enough that its captions differ from image to image."""
    import torch

    model = tiny.new_blip(tiny.blip_config(len(WORDS)), seed=5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.mul_(8 if "vision" in name else 4)
    tiny.save_blip(model, WORDS, where)
    return where


def alone(folder: Path, files: list[bytes], **asked: int) -> list[str]:
    """What transformers' documentation says to write, in fp32 although the files keep half of the bits."""
    import torch
    from transformers import AutoProcessor, BlipForConditionalGeneration

    processor = AutoProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    images = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    tokens = model.generate(**processor(images=images, return_tensors="pt"), **asked)
    return [text.strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]


@pytest.mark.parametrize(("beams", "shortest", "longest"), [(1, 0, 20), (3, 0, 12), (2, 8, 16)])
def test_captions_are_those_of_transformers_alone(folder: Path, beams: int, shortest: int, longest: int) -> None:
    files = jpegs(8)
    spec = BlipCaptioner(str(folder), num_beams=beams, min_length=shortest, max_length=longest)
    ours = spec.setup(threads=1)(files)
    theirs = alone(folder, files, num_beams=beams, min_length=shortest, max_length=longest)
    assert ours == theirs
    assert len(set(ours)) > 1


@pytest.mark.parametrize(("decode", "most"), [("pillow", 0), ("fast", 3)])
def test_pixels_are_those_of_the_processor_on_pillow(folder: Path, decode: str, most: int) -> None:
    from transformers import AutoProcessor

    files = jpegs(8)
    theirs = AutoProcessor.from_pretrained(folder, backend="pil").image_processor
    images = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    wanted = np.array(theirs(images, do_normalize=False, do_rescale=False)["pixel_values"])
    loaded = BlipCaptioner(str(folder), decode=decode).setup(threads=1)
    got = np.stack([loaded.prepare(file) for file in files]).astype(int)
    assert wanted.shape == got.shape and wanted.std() > 10
    assert np.abs(got - wanted).max() <= most


def test_captions_repeat_whatever_the_batch_size(folder: Path) -> None:
    files = jpegs(7)
    loaded = BlipCaptioner(str(folder)).setup(threads=1)
    whole = loaded(files)
    assert loaded(files) == whole
    assert next(run_batches([files], loaded, batch_size=3)).values == whole


def test_the_id_says_how_it_was_asked_and_of_what_pixels(folder: Path) -> None:
    spec = BlipCaptioner(str(folder), num_beams=3, min_length=5)
    assert spec.model_id.startswith("blip/writer@")
    assert spec.model_id.endswith("/beams3-5-20/fast-v1/fp32/64")
    # `captions` has no column for it, and pixels of another path or precision may have another caption.
    assert spec.preprocess_rev == "fast-v1/fp32/64"
    hub = BlipCaptioner("Salesforce/blip-image-captioning-large", "abc123", precision="bf16", decode="pillow")
    assert hub.model_id == "blip/Salesforce/blip-image-captioning-large@abc123/beams1-0-20/pillow-v1/bf16/384"
    assert hub.preprocess_rev == "pillow-v1/bf16/384"
    assert pickle.loads(pickle.dumps(hub)) == hub  # noqa: S301


def test_a_name_on_the_hub_is_pinned_where_its_commit_is_known() -> None:
    known = "82a37760796d32b1411fe092ab5d4e227313294b"
    assert BlipCaptioner("Salesforce/blip-image-captioning-base").commit == known
    assert f"@{known}/" in BlipCaptioner("Salesforce/blip-image-captioning-base").model_id
    assert BlipCaptioner("Salesforce/blip-image-captioning-base", "main").commit == "main"
    assert BlipCaptioner("someone/else").commit == "main"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="min_length <= max_length"):
        BlipCaptioner("x", min_length=9, max_length=3)
    with pytest.raises(ModelError, match="existing file or folder"):
        BlipCaptioner(str(tmp_path / "nowhere")).setup(threads=1)
    (tmp_path / "config.json").write_text('{"vision_config": {"image_size": 64}}')
    with pytest.raises(ModelError, match="give the path of a local folder"):
        BlipCaptioner(str(tmp_path)).setup(threads=1)


def test_nothing_in_nothing_out(folder: Path) -> None:
    assert BlipCaptioner(str(folder)).setup(threads=1)([]) == []
