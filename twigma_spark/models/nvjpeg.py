"""JPEG files decoded and resized on a GPU, by NVIDIA's nvJPEG through torchvision; measured in docs/inference.md.

What nvJPEG may read otherwise than libjpeg (other colour spaces, turned, cut off), and what libjpeg decodes at a
fraction of its size, is left to the `fast` path.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from PIL import Image

from twigma_spark.errors import ModelError
from twigma_spark.models.decode import ImageError, open_image, orientation
from twigma_spark.models.pixels import Preparation, center, draft_scale, prepare, resized_shape, sane_box

NAME = "nvjpeg"
END_OF_IMAGE = b"\xff\xd9"
# Pixels that are decoded at once: three bytes each, and twelve while they are resized.
PIXELS_AT_ONCE = 1 << 27


class JpegFile(NamedTuple):
    """A file that the GPU is to decode, and its pixels."""

    content: bytes
    pixels: int


def read(content: bytes, preparation: Preparation) -> JpegFile | None:
    """Return a file that the GPU is to decode, or None where `pixels.prepare` is.

    Raises:
        ImageError: Neither can: it is no image, or larger than `preparation` allows.
    """
    image = open_image(content, preparation.max_pixels)
    suits = (
        (image.format, image.mode) == ("JPEG", "RGB")
        and content.endswith(END_OF_IMAGE)
        and sane_box(*image.size) == (0, 0, *image.size)
        and draft_scale(image, preparation) == 1
        and orientation(image) == 1
    )
    return JpegFile(content, image.width * image.height) if suits else None


def decode(
    files: Mapping[int, JpegFile], preparation: Preparation, device: str
) -> tuple[dict[int, Any], dict[int, ImageError]]:
    """Return float32 tensors (3, height, width) on `device` by the files' keys, and errors for those without one.

    Args:
        files: what `read` returned.
        preparation: size and cut.
        device: "cuda:0" or the like.
    """
    done: dict[int, Any] = {}
    errors: dict[int, ImageError] = {}
    for keys in _groups(files):
        images = _decode_group([files[key].content for key in keys], device)
        if images is not None:
            done |= _resize(dict(zip(keys, images, strict=True)), preparation)
            continue
        for key in keys:  # one of them is broken; libjpeg says which
            try:
                done[key] = _decode_on_cpu(files[key].content, preparation, device)
            except ImageError as error:
                errors[key] = error
    return done, errors


def check(device: str) -> None:
    """Return nothing where torchvision decodes on `device`.

    Raises:
        ModelError: It does not.
    """
    from torchvision.io import decode_jpeg

    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    try:
        decode_jpeg([_tensor(out.getvalue())], device=device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"decode must be fast or pillow where torchvision has no nvJPEG. Got {NAME!r}: {reason}."
        ) from error


def _groups(files: Mapping[int, JpegFile]) -> Iterator[list[int]]:
    """Yield keys whose images have PIXELS_AT_ONCE together at most, unless a single one has more."""
    keys: list[int] = []
    total = 0
    for key, file in files.items():
        if keys and total + file.pixels > PIXELS_AT_ONCE:
            yield keys
            keys, total = [], 0
        keys.append(key)
        total += file.pixels
    if keys:
        yield keys


def _decode_group(contents: list[bytes], device: str) -> list[Any] | None:
    """Return the images as uint8 tensors (3, h, w) of any sizes, or None where one could not be read."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        return list(decode_jpeg([_tensor(content) for content in contents], ImageReadMode.RGB, device=device))
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError:
        return None


def _resize(images: Mapping[int, Any], preparation: Preparation) -> dict[int, Any]:
    """Return the images resized and cut; those of one size in one call."""
    import torch
    from torch.nn.functional import interpolate

    keys_of: dict[tuple[int, int], list[int]] = defaultdict(list)
    for key, image in images.items():
        keys_of[image.shape[1], image.shape[2]].append(key)
    done: dict[int, Any] = {}
    for shape, keys in keys_of.items():
        height, width = resized_shape(*shape, preparation)
        pixels = torch.stack([images[key] for key in keys]).float()
        if (height, width) != shape:
            pixels = interpolate(pixels, size=(height, width), mode=preparation.interpolation, antialias=True)
            pixels = pixels.round_().clamp_(0, 255)
        top, left = center(height, width, preparation)
        done |= dict(
            zip(keys, pixels[:, :, top : top + preparation.height, left : left + preparation.width], strict=True)
        )
    return done


def _decode_on_cpu(content: bytes, preparation: Preparation, device: str) -> Any:
    import torch

    return torch.from_numpy(prepare(content, preparation)).to(device).float()


def _tensor(content: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
