"""Decoding on the GPU, as far as a CPU shows it: which files go there, how they are grouped, cut and put in order."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from tests.jpegs import overfill_huffman_table
from tests.unit.test_decode_paths import jpeg
from twigma_spark.errors import ModelError
from twigma_spark.models import nvjpeg
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.decode import ImageError
from twigma_spark.models.image_input import ImageInput
from twigma_spark.models.nvjpeg import JpegFile
from twigma_spark.models.pixels import Preparation, prepare

HOW = Preparation(64, 64)


def saved(mode: str = "RGB", kind: str = "JPEG", size: tuple[int, int] = (90, 70), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 99).save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(exif=exif)


@pytest.mark.parametrize(
    ("content", "on_gpu"),
    [
        (saved(), True),
        (saved(progressive=True), True),
        (saved("L"), False),
        (saved("CMYK"), False),
        (saved(kind="PNG"), False),
        (turned(), False),
        (saved()[:-2], False),
        (saved(size=(40, 900)), False),  # a strip is cut first
        (saved(size=(1100, 1100)), False),  # libjpeg decodes it at half its size
    ],
)
def test_what_the_gpu_decodes(content: bytes, on_gpu: bool) -> None:
    assert (nvjpeg.read(content, HOW) is not None) == on_gpu


def test_what_is_no_image_is_an_error_before_it_reaches_the_gpu() -> None:
    with pytest.raises(ImageError, match="not_an_image"):
        nvjpeg.read(b"text", HOW)


@pytest.fixture
def cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """libjpeg in nvJPEG's place; notes how many files it is given at once."""
    sizes: list[int] = []

    def decode_group(contents: list[bytes], device: str) -> list[torch.Tensor] | None:
        sizes.append(len(contents))
        try:
            return [decode_jpeg(nvjpeg._tensor(each), ImageReadMode.RGB) for each in contents]
        except RuntimeError:
            return None

    monkeypatch.setattr(nvjpeg, "_decode_group", decode_group)
    monkeypatch.setattr(nvjpeg, "check", lambda device: None)
    monkeypatch.setattr("twigma_spark.models.image_input.check_decoder", lambda decode, device: None)
    return sizes


@pytest.mark.parametrize("fit", ["shortest", "squash"])
def test_pixels_are_those_of_the_fast_path(cpu_as_gpu: list[int], fit: str) -> None:
    how = Preparation(64, 64, fit)
    contents = [jpeg(90, 70), saved(kind="PNG"), jpeg(64, 64), turned(), jpeg(90, 70), jpeg(200, 333)]
    images = ImageInput(how, "nvjpeg", [0, 0, 0], [1, 1, 1], "cpu", torch.float32)
    tensor, errors = images.tensor([images.prepare(each) for each in contents])
    fast = [prepare(each, how).astype(int) for each in contents]
    assert not errors
    assert np.abs((tensor.numpy() * 255).round() - np.stack(fast)).max() <= 3
    assert cpu_as_gpu == [4]


def test_few_pixels_are_decoded_at_once(cpu_as_gpu: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvjpeg, "PIXELS_AT_ONCE", 2 * 90 * 70)
    files = {key: JpegFile(content, 90 * 70) for key, content in enumerate([jpeg(90, 70)] * 5)}
    images, errors = nvjpeg.decode(files, HOW, "cpu")
    assert (sorted(images), errors, cpu_as_gpu) == ([0, 1, 2, 3, 4], {}, [2, 2, 1])


def test_a_broken_file_is_an_error_of_its_own(cpu_as_gpu: list[int]) -> None:
    whole = jpeg(90, 70)
    broken = overfill_huffman_table(whole)
    images = ImageInput(HOW, "nvjpeg", [0, 0, 0], [1, 1, 1], "cpu", torch.float32)
    prepared = [images.prepare(each) for each in (whole, broken, whole)]
    assert all(isinstance(each, JpegFile) for each in prepared)
    tensor, errors = images.tensor(prepared)
    assert (list(errors), errors[1].reason) == ([1], "undecodable")
    torch.testing.assert_close(tensor[0], tensor[2])
    assert tensor[0].any()
    assert not tensor[1].any()


def test_other_models_and_the_cpu_s_path_refuse_it() -> None:
    with pytest.raises(ModelError, match=r"decode must be one of fast, pillow\. Got 'nvjpeg'"):
        Preparation(64, 64, decode="nvjpeg")


def test_a_cpu_has_no_such_decoder() -> None:
    spec = ClipImage(ClipSource(path="sample:clip"), decode="nvjpeg")
    assert spec.preprocess_rev.startswith("nvjpeg-v1/")
    with pytest.raises(ModelError, match=r"decode must be fast or pillow on a CPU\. Got 'nvjpeg'"):
        spec.setup("cpu")
