"""Columns of pairs to the tensors that a network takes: images are decoded in threads, a batch ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array
from twigma_spark.models.clip import ClipImage, preparation
from twigma_spark.models.clip_source import open_clip_name
from twigma_spark.models.decode import ImageError
from twigma_spark.models.image_input import to_device
from twigma_spark.models.pixels import prepare

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class PairBatch:
    """Tensors of n pairs, on the network's device.

    Attributes:
        texts: what the text tower takes, a row a pair.
        images: what the image tower takes: the n preferred images, then the n others.
        weight: (n,) float32.
        row: (n,) number of the pair, NumPy.
    """

    texts: Any
    images: Any
    weight: Any
    row: Any


class PairInputs(Protocol):
    """How columns become batches."""

    def stream(self, batches: Iterable[Columns]) -> Iterator[PairBatch]:
        """Yield the batches in their order."""


class ImagePairs:
    """Pairs of the bytes of images (columns prompt, preferred, other, weight, row) for the towers of a CLIP.

    Args:
        encoder: which CLIP, for its tokenizer.
        clip: the open_clip model, for its preprocessing.
        device: "cpu" or "cuda:0".
        threads: that decode.
    """

    def __init__(self, encoder: ClipImage, clip: Any, device: str, threads: int) -> None:
        import open_clip
        import torch

        config = clip.visual.preprocess_cfg
        self._how = preparation(encoder, config)
        self._tokenizer = open_clip.get_tokenizer(open_clip_name(encoder.source))
        self._mean, self._std = (torch.tensor(config[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std"))
        self._device, self._threads = device, threads

    def stream(self, batches: Iterable[Columns]) -> Iterator[PairBatch]:
        """Yield the batches in their order.

        Raises:
            ModelError: an image cannot be used.
        """
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        waiting: deque[tuple[Columns, list[Future[Any]]]] = deque()
        try:
            for batch in batches:
                files = (*batch["preferred"], *batch["other"])
                waiting.append((batch, [pool.submit(prepare, file, self._how) for file in files]))
                if len(waiting) > 1:
                    yield self._tensors(*waiting.popleft())
            while waiting:
                yield self._tensors(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _tensors(self, batch: Columns, decoded: Sequence[Future[Any]]) -> PairBatch:
        import torch

        try:
            levels = to_device([each.result() for each in decoded], self._device)
        except ImageError as error:
            raise ModelError(
                f"images of pairs must be files that can be decoded. Got one that cannot: {error}."
            ) from error
        pixels = (levels.float() / 255 - self._mean) / self._std
        tokens = self._tokenizer([str(prompt) for prompt in batch["prompt"]]).to(self._device)
        weight = torch.from_numpy(np.array(batch["weight"], np.float32)).to(self._device)
        return PairBatch(tokens, pixels, weight, np.array(batch["row"], np.int64))


class VectorPairs:
    """Pairs of stored vectors (columns text, preferred, other as bytes of float16, weight, row) for a head alone."""

    def stream(self, batches: Iterable[Columns]) -> Iterator[PairBatch]:
        """Yield the batches in their order."""
        import torch

        for batch in batches:
            text, preferred, other = (_floats(batch[name]) for name in ("text", "preferred", "other"))
            weight = torch.from_numpy(np.array(batch["weight"], np.float32))
            yield PairBatch(text, torch.cat([preferred, other]), weight, np.array(batch["row"], np.int64))


class VectorRows:
    """Pairs of rows of two matrices (columns text, preferred, other, weight, row) for a head alone.

    Args:
        images: (n, dim), vectors of images; may be a memory-mapped file.
        texts: (m, dim), those of prompts.
    """

    def __init__(self, images: Array, texts: Array) -> None:
        self._images, self._texts = images, texts

    def stream(self, batches: Iterable[Columns]) -> Iterator[PairBatch]:
        """Yield the batches in their order."""
        import torch

        for batch in batches:
            both = np.concatenate([batch["preferred"], batch["other"]])
            weight = torch.from_numpy(np.asarray(batch["weight"], np.float32))
            yield PairBatch(_gather(self._texts, batch["text"]), _gather(self._images, both), weight, batch["row"])


def _gather(matrix: Array, rows: Array) -> Any:
    import torch

    # torch reads halves several times as fast as NumPy.
    return torch.from_numpy(np.asarray(matrix[rows])).float()


def _floats(column: Sequence[bytes]) -> Any:
    import torch

    return torch.frombuffer(bytearray().join(column), dtype=torch.float16).view(len(column), -1).float()
