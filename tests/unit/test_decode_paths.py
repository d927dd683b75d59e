"""The two decode paths: `pillow` is open_clip's own transform bit for bit, `fast` stays within 3 levels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from twigma_spark.errors import ModelError
from twigma_spark.models.pixels import DECODERS, Preparation, prepare, resized_shape, revision

SIZES = [(224, 224), (300, 200), (200, 333), (97, 64), (640, 479), (33, 500), (31, 31), (50, 90), (90, 50)]


def jpeg(width: int, height: int, subsampling: int = 2) -> bytes:
    """A file with soft shapes and some grain, as photographs have."""
    rng = np.random.default_rng(width * 1000 + height)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    grain = rng.normal(0, 6, soft.shape)
    out = io.BytesIO()
    image = Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))
    image.save(out, "JPEG", quality=90, subsampling=subsampling)
    return out.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("mode", "interpolation"), [("shortest", "bicubic"), ("squash", "bilinear")])
def test_pillow_is_the_transform_of_open_clip(size: tuple[int, int], mode: str, interpolation: str) -> None:
    from open_clip.transform import image_transform

    transform = image_transform(64, is_train=False, resize_mode=mode, interpolation=interpolation)
    mean, std = (transform.transforms[-1].mean, transform.transforms[-1].std)
    content = jpeg(*size)
    theirs = transform(Image.open(io.BytesIO(content))).numpy()
    how = Preparation(64, 64, fit=mode, interpolation=interpolation, decode="pillow")
    levels = prepare(content, how)
    # The same arithmetic, in the same order, in the same precision.
    ours = levels.astype(np.float32) / np.float32(255)
    ours -= np.array(mean, np.float32).reshape(3, 1, 1)
    ours /= np.array(std, np.float32).reshape(3, 1, 1)
    assert (ours == theirs).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_fast_is_within_3_levels(size: tuple[int, int], fit: str, interpolation: str) -> None:
    content = jpeg(*size)
    slow, fast = (
        prepare(content, Preparation(64, 64, fit, interpolation, decode)).astype(int) for decode in ("pillow", "fast")
    )
    assert np.abs(fast - slow).max() <= 3


@pytest.mark.parametrize("size", [(40, 300), (90, 200), (50, 70), (70, 50), (300, 40), (120, 121), (64, 90)])
def test_the_passes_run_in_pillow_s_order(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(out, "PNG")
    slow, fast = (
        prepare(out.getvalue(), Preparation(64, 64, "squash", decode=decode)).astype(int)
        for decode in ("pillow", "fast")
    )
    assert np.abs(fast - slow).max() <= 2  # on noise the other order is off by 100


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("size", [(1100, 1030), (2300, 2100)])
def test_scaled_decoding_is_within_3_levels(size: tuple[int, int], subsampling: int) -> None:
    content = jpeg(*size, subsampling)
    slow, fast = (prepare(content, Preparation(64, 64, decode=decode)).astype(int) for decode in ("pillow", "fast"))
    assert np.abs(fast - slow).max() <= 3


def test_shapes_that_are_not_square() -> None:
    how = Preparation(32, 64, decode="fast")
    assert prepare(jpeg(300, 200), how).shape == (3, 32, 64)
    assert prepare(jpeg(200, 300), how).shape == (3, 32, 64)


def test_a_strip_costs_no_more_than_its_middle() -> None:
    strip = jpeg(4000, 4)
    slow, fast = (prepare(strip, Preparation(64, 64, decode=decode)).astype(int) for decode in ("pillow", "fast"))
    assert slow.shape == fast.shape == (3, 64, 64)
    assert np.abs(fast - slow).max() <= 3


def test_sizes_are_rounded_as_torchvision_rounds_them() -> None:
    how = Preparation(224, 224)
    assert resized_shape(333, 500, how) == (224, 336)
    assert resized_shape(500, 333, how) == (336, 224)
    assert resized_shape(333, 500, Preparation(224, 224, fit="squash")) == (224, 224)


def test_revision_names_path_precision_and_size() -> None:
    assert revision("fast", "bf16", 224, 224) == "fast-v1/bf16/224"
    assert revision("pillow", "fp32", 224, 336) == "pillow-v1/fp32/224x336"


def test_choices_are_checked() -> None:
    with pytest.raises(ModelError, match=r"fit must be one of shortest, squash, longest\. Got 'stretch'"):
        Preparation(64, 64, fit="stretch")
    with pytest.raises(ModelError, match="decode must be one of fast, pillow"):
        Preparation(64, 64, decode="turbo")


@pytest.mark.parametrize("cut", [1, 40, 200])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_a_tiff_whose_second_page_is_broken_is_its_first_page(compression: str | None, cut: int) -> None:
    out = io.BytesIO()
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (32, 32, 3), np.uint8)) for n in range(2)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], compression=compression)
    whole = out.getvalue()
    for decode in DECODERS:
        how = Preparation(32, 32, decode=decode)
        np.testing.assert_array_equal(prepare(whole[:-cut], how), prepare(whole, how))
