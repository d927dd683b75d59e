"""What a reward model is trained on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from twigma_spark.config.engine import Inference
from twigma_spark.config.models import BaselineModel
from twigma_spark.config.section import Name, Section, StageSection


class Matching(Section):
    """What the two images of a pair have in common, so that it does not decide which is liked more."""

    followers: bool = True
    days: float | None = Field(30, gt=0)
    hours: float | None = Field(6, gt=0, le=12)
    clustering: Name | None = None
    nsfw: bool = True


class PreferenceFile(Section):
    """Pairs that people judged, in a public data set's own format; the images are those of a corpus."""

    format: Literal["imagereward", "hpd", "pickapic", "social_reward"]
    path: str
    corpus: Name


class PairsSettings(StageSection):
    """Pairs of images of one prompt, one clearly liked more."""

    popularity: Literal["like_count", "retweet_count", "reply_count", "quote_count"] = "like_count"
    prompts: Literal["exact", "nearest"] = "exact"
    prompt_similarity: float = Field(0.9, gt=0, le=1)
    minimum: int = Field(3, ge=1)
    ratio: float = Field(2, gt=1)
    images_per_prompt: int = Field(50, ge=2)
    pairs_per_prompt: int = Field(100, ge=1)
    nsfw_threshold: float = Field(0.5, ge=0, le=1)
    match: Matching = Matching()
    files: tuple[PreferenceFile, ...] = ()


class Baselines(Inference):
    """Published reward models that the trained one is compared with, and how they are fed."""

    models: Mapping[Name, BaselineModel] = {}


class FineTune(Section):
    """Training of the encoder itself, from the images of the pairs, after the head."""

    enabled: bool = False
    blocks: int = Field(1, ge=0)
    epochs: int = Field(5, ge=1)
    patience: int = Field(2, ge=1)
    batch_size: int = Field(64, ge=1)
    accumulate: int = Field(1, ge=1)
    learning_rate: float = Field(1e-5, gt=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    feed: Literal["auto", "petastorm", "arrow"] = "arrow"
    buffer: int = Field(1024, ge=1)
    decode_threads: int = Field(2, ge=1)
    processes: int = Field(0, ge=0)
    local: bool = True

    @model_validator(mode="after")
    def _check_parts(self) -> FineTune:
        parts = self.accumulate * max(self.processes, 1)
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size must be a multiple of accumulate x processes. Got {self.batch_size} and {parts}."
            )
        return self


class RewardSettings(StageSection):
    """A model of what is liked, trained on the pairs and compared with other scorers on held-out authors."""

    loss: Literal["triplet", "soft_label", "info_nce"] = "triplet"
    margin: float = Field(0.3, gt=0)
    epochs: int = Field(100, ge=1)
    patience: int = Field(10, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    folds: int = Field(10, ge=3)
    tested: int | None = Field(None, ge=1)
    bootstrap: int = Field(1000, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)
    fewest: int = Field(30, ge=2)
    most: int = Field(5_000_000, ge=1)
    fine_tune: FineTune = FineTune()

    @model_validator(mode="after")
    def _check_folds(self) -> RewardSettings:
        if self.tested is not None and self.tested > self.folds:
            raise ValueError(f"tested must be at most folds. Got {self.tested} of {self.folds}.")
        return self
