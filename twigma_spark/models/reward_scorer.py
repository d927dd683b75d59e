"""A saved reward model as the stages run it: over images and their prompts, or over stored vectors and prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array, Floats, Loaded, Model
from twigma_spark.models.device import limit_threads
from twigma_spark.models.prompted import LoadedTowers
from twigma_spark.models.reward import Reward, saved_encoder
from twigma_spark.models.reward_files import load_encoder, load_head, read_config
from twigma_spark.models.reward_head import Head

# Prompts whose vectors a worker keeps: the images of a prompt do not come together.
KEPT = 4096


@dataclass(frozen=True)
class RewardScorer:
    """A saved reward model, over images and their prompts on many machines.

    Attributes:
        path: its folder, where every worker can read it.
        digest: of its weights: a model that was trained again is another one.
        tuned: whether its encoder was trained too, so that vectors of the encoder as it was are not its own.
        prompt: of images that have none of their own; empty where these are not scored.
    """

    path: str
    digest: str
    tuned: bool
    prompt: str = ""

    @classmethod
    def of_folder(cls, folder: Path, prompt: str = "") -> RewardScorer:
        """Return the model that is in a folder now.

        Raises:
            ModelError: there is none.
        """
        config = read_config(folder)
        return cls(str(folder), config.sha256[:12], bool(config.encoder_sha256), prompt)

    @property
    def consumes(self) -> str:
        """Return "image" where the encoder was trained too, else "embedding"."""
        return "image" if self.tuned else "embedding"

    @property
    def model_id(self) -> str:
        """Return for example "reward@<digest>", with a digest of the prompt where there is one."""
        prompt = hashlib.sha256(self.prompt.encode()).hexdigest()[:12]
        return f"reward@{self.digest}" + (f"/prompt@{prompt}" if self.prompt else "")

    @property
    def preprocess_rev(self) -> str:
        """Return the decode path and precision; the size is the encoder's."""
        return "fast-v1/fp32"

    def check(self, encoder_id: str) -> None:
        """Return nothing where the model is whole and can be run beside an encoder; no network is loaded for it.

        Args:
            encoder_id: id of the encoder whose vectors are stored; of a tuned model its own encoder must be there.

        Raises:
            ModelError: it is not whole, the vectors are of another encoder, or its own is not there.
        """
        if not self.tuned:
            self.head(encoder_id)
            return
        _, config = load_head(Path(self.path))
        load_encoder(Path(self.path), config)
        saved_encoder(Path(self.path), config)

    def head(self, encoder_id: str) -> Head:
        """Return the weights, for stored vectors of an encoder.

        Raises:
            ModelError: it was trained on those of another.
        """
        head, config = load_head(Path(self.path))
        if config.model_id != encoder_id:
            raise ModelError(
                f"vectors for the reward model in {self.path!r} must be of {config.model_id!r}, which it was trained "
                f"on. Got those of {encoder_id!r}; set models.image to that encoder, or take a model of this one."
            )
        return head

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedTowers:
        """Return the model with its weights on `device`; items are an image's bytes and its prompt."""
        limit_threads(threads)
        return Reward.from_pretrained(self.path, device).scorer()


@dataclass(frozen=True)
class VectorRewardScorer:
    """A saved reward model whose encoder was not trained, over the stored vectors of images and their prompts.

    Attributes:
        model: which one.
        texts: the text tower of the encoder that the vectors are of.
    """

    model: RewardScorer
    texts: Model

    @property
    def model_id(self) -> str:
        """Return the saved model's."""
        return self.model.model_id

    @property
    def preprocess_rev(self) -> str:
        """Return that of the prompts' vectors."""
        return self.texts.preprocess_rev

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedVectorReward:
        """Return the head, and the text tower with its weights on `device`."""
        return LoadedVectorReward(self.model.head(self.texts.model_id), self.texts.setup(device, threads))


class LoadedVectorReward(Loaded):
    """The head and the text tower in memory; items are an image's unit vector and its prompt.

    Args:
        head: the trained weights.
        texts: the text tower.
    """

    def __init__(self, head: Head, texts: Loaded) -> None:
        self._head, self._texts = head, texts
        self._known: dict[str, Floats] = {}

    def prepare(self, item: tuple[Sequence[float] | Array, str]) -> tuple[Floats, str]:
        """Return the vector as float32, and the prompt."""
        vector, prompt = item
        return np.asarray(vector, np.float32), prompt

    def begin(self, prepared: Sequence[Any]) -> Callable[[], Floats]:
        """Return a call for the scores, (n,) float32."""
        scores = self.forward(prepared)
        return lambda: scores

    def forward(self, batch: Any) -> Floats:
        """Return the scores, (n,) float32, of a sequence of prepared items."""
        known = self._vectors(list(dict.fromkeys(prompt for _, prompt in batch)))
        images = self._head.image_vectors(np.stack([vector for vector, _ in batch]))
        texts = np.stack([known[prompt] for _, prompt in batch])
        return np.asarray(np.einsum("ij,ij->i", images, texts), np.float32)

    def _vectors(self, prompts: list[str]) -> dict[str, Floats]:
        """Return the mapped vectors of different prompts; only those that are new are encoded."""
        new = [prompt for prompt in prompts if prompt not in self._known]
        if len(self._known) + len(new) > KEPT:
            self._known, new = {}, prompts
        if new:
            self._known |= zip(new, self._head.text_vectors(self._texts(new)), strict=True)
        return self._known

    def empty(self) -> Floats:
        """Return an array of shape (0,)."""
        return np.zeros(0, np.float32)

    def release(self) -> None:
        """Give cached GPU memory back."""
        self._texts.release()
