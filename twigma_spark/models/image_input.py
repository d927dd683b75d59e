"""Images to the normalised tensor that a network takes, on its device; on a GPU the JPEG files may be decoded there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models import nvjpeg, pixels
from twigma_spark.models.base import PRECISIONS, Array, check_choice
from twigma_spark.models.decode import MAX_PIXELS, ImageError
from twigma_spark.models.nvjpeg import JpegFile
from twigma_spark.models.pixels import Pixels, Preparation, prepare

# Images of one batch as `ImageInput.prepare` returns them: a sequence, or an array (n, 3, height, width).
Prepared = Any
DECODERS = (*pixels.DECODERS, nvjpeg.NAME)


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a model that is fed with images computes.

    Attributes:
        precision: "fp32", "bf16" or "fp16", to which the weights themselves are cast (autocast is slower than fp32 on a
            CPU).
        decode: "fast"; "pillow" for the model's own transform bit for bit; "nvjpeg" to decode on the GPU.
        max_pixels: Larger images are refused.
    """

    precision: str = "fp32"
    decode: str = "fast"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("decode", self.decode, DECODERS)


class ImageInput:
    """How one model on one device is fed with images.

    Args:
        how: size and cut.
        decode: one of DECODERS; `nvjpeg` decodes on the device what it can, and the rest as `fast` does.
        mean: of each channel, for values from 0 to 1.
        std: likewise.
        device: "cpu" or "cuda:0".
        dtype: torch's, of the network's weights.

    Raises:
        ModelError: A decoder that the device does not have.
    """

    def __init__(
        self,
        preparation: Preparation,
        decode: str,
        mean: Sequence[float],
        std: Sequence[float],
        device: str,
        dtype: Any,
    ) -> None:
        import torch

        check_decoder(decode, device)
        self._nvjpeg = decode == nvjpeg.NAME
        if self._nvjpeg:
            nvjpeg.check(device)
        self._how = replace(preparation, decode="fast" if self._nvjpeg else decode)
        self._device = device
        self._dtype = dtype
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1)

    def prepare(self, item: bytes) -> Pixels | JpegFile:
        """Return an image as uint8 of shape (3, height, width), or the file where the GPU is to decode it.

        Raises:
            ImageError: The image cannot be used.
        """
        file = nvjpeg.read(item, self._how) if self._nvjpeg else None
        return prepare(item, self._how) if file is None else file

    def tensor(self, prepared: Prepared) -> tuple[Any, dict[int, ImageError]]:
        """Return the network's input (n, 3, height, width), and the errors of rows that hold nothing in it."""
        levels, errors = self._decode(prepared) if self._nvjpeg else (to_device(prepared, self._device), {})
        # The order of the models' own ToTensor and Normalize, for the same bits.
        scaled = levels.float().div_(255).sub_(self._mean).div_(self._std)
        return scaled.to(self._dtype), errors

    def _decode(self, prepared: Prepared) -> tuple[Any, dict[int, ImageError]]:
        """Return pixels on the GPU, of files and of images that were decoded before, and the errors of files."""
        import torch

        files = {row: item for row, item in enumerate(prepared) if isinstance(item, JpegFile)}
        images, errors = nvjpeg.decode(files, self._how, self._device)
        before = [row for row in range(len(prepared)) if row not in files]
        if before:
            images |= zip(before, to_device([prepared[row] for row in before], self._device).float(), strict=True)
        empty = torch.zeros((3, self._how.height, self._how.width), device=self._device)
        return torch.stack([images.get(row, empty) for row in range(len(prepared))]), errors


def check_decoder(decode: str, device: str) -> None:
    """Return nothing where `device` has the decoder.

    Raises:
        ModelError: "nvjpeg" on a CPU.
    """
    if decode == nvjpeg.NAME and not device.startswith("cuda"):
        raise ModelError(f"decode must be fast or pillow on a CPU. Got {decode!r}. Set models.device=cuda for a GPU's.")


def to_device(arrays: Any, device: str) -> Any:
    """Return arrays of one shape as a tensor on `device`, stacked; pinned on the way to a GPU, so as not to wait."""
    import torch

    if not device.startswith("cuda"):
        return torch.from_numpy(np.stack(arrays))
    first = torch.from_numpy(arrays[0])
    host = torch.empty((len(arrays), *first.shape), dtype=first.dtype, pin_memory=True)
    np.stack(arrays, out=host.numpy())
    return host.to(device, non_blocking=True)


def to_host(tensor: Any) -> Callable[[], Array]:
    """Return a call that waits for `tensor` and returns it as an array; what is computed after it is not waited for."""
    import torch

    if tensor.device.type != "cuda":
        values: Array = tensor.numpy()
        return lambda: values
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait() -> Array:
        done.synchronize()
        array: Array = host.numpy().copy()  # pinned memory is scarce and goes back
        return array

    return wait
