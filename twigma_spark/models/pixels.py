"""Image bytes to the array a network takes: decode, resize, crop, by one of two paths.

`pillow` gives what the model's own transform gives for an RGB image, bit for bit. `fast` decodes with
torchvision and resizes uint8 with antialiasing: the same within 3 levels of 255, 2 to 3 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from twigma_spark.models.base import check_choice
from twigma_spark.models.decode import BAND, MAX_PIXELS, ImageError, describe, open_image, orientation, to_rgb

Pixels = npt.NDArray[np.uint8]

DECODERS = ("fast", "pillow")
REVISION = "v1"
_FITS = ("shortest", "squash", "longest")
_INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# libjpeg can decode at 1/2, 1/4 or 1/8. Where at least 8 pixels are left for each pixel of the result, the
# result moved by 3 levels at most (mosaics of paintings, 4:2:0 and 4:4:4); with 4 pixels left, by 5.
_DRAFT_GAP = 8
# Beyond this ratio the sides are cut before the resize: a 10x10,000 strip would become 224x224,000.
_MAX_ASPECT = 16


@dataclass(frozen=True)
class Preparation:
    """How an image becomes a network's input of `height` x `width`.

    Attributes:
        fit: "shortest" scales the shorter side and cuts the middle out; "squash" ignores the aspect; "longest" scales
            the longer side and fills up with black.
        interpolation: "bicubic" or "bilinear", both antialiased.
        decode: "fast" or "pillow".
        max_pixels: Larger images are refused.
        cut_down: Whether the place of the cut is rounded down, as transformers does, and not as torchvision does.
    """

    height: int
    width: int
    fit: str = "shortest"
    interpolation: str = "bicubic"
    decode: str = "fast"
    max_pixels: int = MAX_PIXELS
    cut_down: bool = False

    def __post_init__(self) -> None:
        check_choice("fit", self.fit, _FITS)
        check_choice("interpolation", self.interpolation, tuple(_INTERPOLATIONS))
        check_choice("decode", self.decode, DECODERS)


def revision(decode: str, precision: str, height: int, width: int) -> str:
    """Return a `preprocess_rev` such as "fast-v1/fp32/224"."""
    size = str(height) if height == width else f"{height}x{width}"
    return f"{decode}-{REVISION}/{precision}/{size}"


def prepare(content: bytes, preparation: Preparation) -> Pixels:
    """Return an image as uint8 of shape (3, height, width).

    Raises:
        ImageError: With one of `decode.REASONS`.
    """
    image = open_image(content, preparation.max_pixels)
    if preparation.decode == "pillow":
        return _pillow(to_rgb(image), preparation)
    try:
        return _fast(content, image, preparation)
    except ImageError:
        raise
    except Exception as error:  # one image must never end a task of thousands
        raise ImageError("undecodable", describe(error)) from error


def resized_shape(height: int, width: int, preparation: Preparation) -> tuple[int, int]:
    """Return (height, width) to resize to before the crop, rounded as the models' own transforms round."""
    if preparation.fit == "squash":
        return preparation.height, preparation.width
    if preparation.fit == "longest":
        scale = min(preparation.height / height, preparation.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale))
    if preparation.height != preparation.width:
        ratio = min(height / preparation.height, width / preparation.width)
        return round(height / ratio), round(width / ratio)
    if width <= height:
        return int(preparation.width * height / width), preparation.width
    return preparation.height, int(preparation.height * width / height)


def _pillow(image: Image.Image, preparation: Preparation) -> Pixels:
    box = sane_box(image.width, image.height)
    if box != (0, 0, *image.size):
        image = image.crop(box)
    height, width = resized_shape(image.height, image.width, preparation)
    resized = image.resize((width, height), _INTERPOLATIONS[preparation.interpolation])
    return _fill_or_cut(np.asarray(resized).transpose(2, 0, 1), preparation)


def _fast(content: bytes, image: Image.Image, preparation: Preparation) -> Pixels:
    full_width, full_height = image.size[::-1] if orientation(image) >= 5 else image.size
    pixels = _decode(content, image, preparation)
    left, top, right, bottom = sane_box(pixels.shape[2], pixels.shape[1])
    if (right, bottom) != (pixels.shape[2], pixels.shape[1]):
        pixels = pixels[:, top:bottom, left:right]
        full_width, full_height = right - left, bottom - top
    # The target comes from the full size, so that scaled decoding cannot move it by a rounding.
    height, width = resized_shape(full_height, full_width, preparation)
    return _fill_or_cut(_resize(pixels, height, width, preparation.interpolation).numpy(), preparation)


def _fill_or_cut(resized: Pixels, preparation: Preparation) -> Pixels:
    """Return the middle of a resized image (3, h, w), or where `longest` made it smaller, the image on black."""
    _, height, width = resized.shape
    if preparation.fit == "longest":
        top, left = (preparation.height - height) // 2, (preparation.width - width) // 2
        filled = np.zeros((3, preparation.height, preparation.width), np.uint8)
        filled[:, top : top + height, left : left + width] = resized
        return filled
    top, left = center(height, width, preparation)
    return np.ascontiguousarray(resized[:, top : top + preparation.height, left : left + preparation.width])


def _resize(pixels: Any, height: int, width: int, interpolation: str) -> Any:
    """Return a uint8 tensor (3, h, w) resized as Pillow does it: with the same pass first."""
    from torch.nn.functional import interpolate

    lower, narrower = pixels.shape[1] - height, pixels.shape[2] - width
    if lower > 2 * max(narrower, 0) and narrower:
        # Pillow 13 takes the columns first here, torch never does. Each pass rounds, so the order shows: up
        # to 9 levels in a picture, 0.0006 in a cosine.
        pixels = _resize(pixels, height, pixels.shape[2], interpolation)
    if (height, width) == tuple(pixels.shape[1:]):
        return pixels
    return interpolate(pixels[None], size=(height, width), mode=interpolation, antialias=True)[0]


def _decode(content: bytes, image: Image.Image, preparation: Preparation) -> Any:
    """Return the decoded image as a uint8 tensor (3, h, w), by whichever decoder suits it."""
    import torch

    scale = draft_scale(image, preparation)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    elif (tensor := _torchvision(content, image)) is not None:
        return tensor
    return torch.from_numpy(_as_array(to_rgb(image))).permute(2, 0, 1)


def _as_array(image: Image.Image) -> Pixels:
    """Return an RGB image as (h, w, 3), copied in bands: numpy's own way holds the picture twice more."""
    out = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        out[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return out


def _torchvision(content: bytes, image: Image.Image) -> Any:
    """Return torchvision's decoding, or None for what only Pillow reads as the models expect it."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, decode_png, decode_webp

    decoders = {
        ("JPEG", "RGB"): decode_jpeg,
        ("JPEG", "L"): decode_jpeg,
        ("MPO", "RGB"): decode_jpeg,
        ("PNG", "RGB"): decode_png,
        ("PNG", "RGBA"): decode_png,
        ("WEBP", "RGB"): decode_webp,
    }
    decoder = decoders.get((image.format or "", image.mode))
    if decoder is None:
        return None  # before frames are counted: of a TIFF that reads all pages, and a broken one is an error
    animated = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    if animated or orientation(image) > 1:
        return None
    try:
        tensor = decoder(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    except RuntimeError:
        return None  # Pillow has the last word on what cannot be read
    return tensor if tensor.dtype == torch.uint8 else None


def draft_scale(image: Image.Image, preparation: Preparation) -> int:
    """Return 1, 2, 4 or 8: how much smaller libjpeg may decode this image (1 for other formats)."""
    if image.format not in ("JPEG", "MPO"):
        return 1
    room = min(min(image.size) // preparation.height, min(image.size) // preparation.width)
    return next((scale for scale in (8, 4, 2) if room >= scale * _DRAFT_GAP), 1)


def center(height: int, width: int, preparation: Preparation) -> tuple[int, int]:
    """Return (top, left) of the centre crop, rounded as torchvision's `center_crop` rounds, or as transformers does."""
    if preparation.cut_down:
        return (height - preparation.height) // 2, (width - preparation.width) // 2
    return round((height - preparation.height) / 2.0), round((width - preparation.width) / 2.0)


def sane_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the whole image, or of the middle of an extreme strip."""
    keep_w, keep_h = min(width, _MAX_ASPECT * height), min(height, _MAX_ASPECT * width)
    left, top = (width - keep_w) // 2, (height - keep_h) // 2
    return left, top, left + keep_w, top + keep_h
