"""The models of a run: specs from the configuration, made on the driver, and how they are fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Inference
from twigma_spark.config.models import HeadSettings, ImageModel, RewardModelSettings, ScoreModel
from twigma_spark.config.section import Section
from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.models import registry
from twigma_spark.models.base import Model
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.hashes import Hasher
from twigma_spark.transforms.inference import Feed

# What these functions read of the configuration; a stage that calls one declares its keys.
IMAGE_ENCODER = ("models.image", "models.device", "ingest.max_pixels")
SECOND_ENCODER = ("models.image_also",)
VARIANTS = (*SECOND_ENCODER, "models.real")
CAPTIONER = ("models.caption", "models.device", "ingest.max_pixels")
BASELINES = ("baselines.models", "models.device", "ingest.max_pixels")


def image_encoder(cfg: Config) -> Model:
    """Return the image encoder's spec."""
    return encoder(cfg, cfg.models.image)


def second_encoder(cfg: Config) -> Model | None:
    """Return the spec of the second image encoder, or None where none is configured."""
    return None if cfg.models.image_also is None else encoder(cfg, cfg.models.image_also)


def check_maker(corpus: Corpus, encoder: Model, length: int) -> None:
    """Return nothing where an encoder made the vectors that came with a corpus.

    Args:
        corpus: says which model made them.
        encoder: that of the run.
        length: of the vectors.

    Raises:
        ModelError: another did, or their length is not the encoder's.
    """
    if corpus.embedded_by != encoder.model_id:
        raise ModelError(
            f"corpora.{corpus.name}.embedded_by must be the model of the run (models.image), {encoder.model_id!r}. "
            f"Got {corpus.embedded_by!r}: vectors of two models cannot be compared; set models.image to that one."
        )
    if isinstance(encoder, ClipImage) and length != encoder.dim:
        raise ModelError(
            f"the vectors of corpus '{corpus.name}' must have the {encoder.dim} elements of {encoder.model_id!r}. "
            f"Got {length}; embedded_by names another model than made them."
        )


def encoder(cfg: Config, settings: ImageModel) -> Model:
    """Return the spec of an image encoder by its settings."""
    return registry.image_encoder(_pixels(cfg, settings), cfg.models.device)


def text_encoder(cfg: Config) -> Model | None:
    """Return the spec of the image encoder's text tower, or None where it has none."""
    if cfg.models.image.kind != "open_clip":
        return None
    return registry.text_encoder(_settings(cfg.models.image), cfg.models.device)


def hasher(cfg: Config) -> Hasher:
    """Return the perceptual hash's spec."""
    return Hasher(cfg.ingest.max_pixels)


def captioner(cfg: Config) -> Model | None:
    """Return the captioner's spec, or None where none is configured."""
    if cfg.models.caption is None:
        return None
    return registry.captioner(_pixels(cfg, cfg.models.caption), cfg.models.device)


def scorers(cfg: Config) -> dict[str, registry.Scorer]:
    """Return the configured scorers by the name of their score."""
    return {kind: scorer(cfg, model) for kind, model in cfg.models.scores.items()}


def scorer_id(cfg: Config, model: registry.Scorer) -> str:
    """Return what a score came from: the scorer, and the encoder and preprocessing of the vectors that it reads."""
    if model.consumes == "image":
        return model.model_id
    encoder = image_encoder(cfg)
    return f"{model.model_id}/{encoder.model_id}/{encoder.preprocess_rev}"


def scorer(cfg: Config, model: ScoreModel) -> registry.Scorer:
    """Return the spec of one scorer."""
    stored = isinstance(model, HeadSettings | RewardModelSettings)
    settings = _settings(model) if stored else _pixels(cfg, model)
    return registry.scorer(settings, cfg.models.device)


def baselines(cfg: Config) -> dict[str, Model]:
    """Return the specs of the published reward models, by the names that the configuration gives them."""
    models = cfg.baselines.models
    return {name: registry.baseline(_pixels(cfg, model), cfg.models.device) for name, model in models.items()}


def feed(cfg: Config, inference: Inference) -> Feed:
    """Return how a stage feeds its model."""
    return Feed(
        batch_size=inference.batch_size,
        decode_threads=inference.decode_threads,
        threads=inference.threads,
        device=cfg.models.device,
    )


def _pixels(cfg: Config, model: Section) -> dict[str, Any]:
    return {**_settings(model), "max_pixels": cfg.ingest.max_pixels}


def _settings(model: Section) -> dict[str, Any]:
    """Return a model's settings; a path that exists here is made absolute, since workers run elsewhere.

    `name` and `pretrained` may also be a name in a hub or a tag: they are a path only where they look like one, so that
    a folder called "openai" in the working directory is not taken for the weights.
    """
    settings = model.model_dump(exclude={"preset"})  # it has filled in the others
    paths = [key for key in ("path", "vocabulary", "tokenizer") if settings.get(key)]
    paths += [key for key in ("name", "pretrained") if settings.get(key) and is_path(settings[key])]
    local = {key: str(Path(settings[key]).absolute()) for key in paths if Path(settings[key]).exists()}
    return {**settings, **local}


def is_path(text: str) -> bool:
    """Return whether a text names a path, as ./openai, /x/y, weights or a model folder; not Salesforce/blip."""
    here = Path(text)
    is_model = (here.is_file() and here.suffix != "") or (here / "config.json").is_file()
    return text.startswith((".", "/", "~")) or is_model
