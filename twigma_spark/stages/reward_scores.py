"""Scores of all kept images in the stage `reward`: by stored vectors, or by pixels where the encoder was trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, local_copy
from twigma_spark.io.session import picture_batches
from twigma_spark.io.url_files import Settings
from twigma_spark.models.prompted import LoadedTowers
from twigma_spark.models.reward_head import Head
from twigma_spark.models.reward_scorer import RewardScorer
from twigma_spark.results import Result, Value
from twigma_spark.stages import specs
from twigma_spark.stages.stage import StageContext
from twigma_spark.stats.reward import ANALYSIS
from twigma_spark.transforms import rewards
from twigma_spark.transforms.inference import failures, infer


@dataclass(frozen=True)
class Scored:
    """What the stage writes.

    Attributes:
        scores: rows of `reward_scores`.
        rejects: images that could not be read; None where none was.
        results: how many images were scored for which text.
    """

    scores: DataFrame
    rejects: DataFrame | None
    results: list[Result]


@dataclass(frozen=True)
class SavedModel:
    """A model that the stage has written.

    Attributes:
        artifact: its row.
        where: where it is kept.
    """

    artifact: Artifact
    where: ArtifactFolder

    def scorer(self) -> RewardScorer:
        """Return it for the workers, which fetch it where it is at a URL."""
        own = RewardScorer.of_folder(self.where.open(self.artifact).parent)
        if not self.where.is_remote:
            return own
        return FetchedScorer(
            own.path, own.digest, own.tuned, url=self.artifact.path, checksum=self.artifact.checksum,
            settings=self.where.settings,
        )  # fmt: skip


@dataclass(frozen=True)
class FetchedScorer(RewardScorer):
    """A saved reward model at a URL; `path` is the driver's copy, and each node has one.

    Attributes:
        url: of its weights.
        checksum: of its files.
        settings: how S3 is reached.
    """

    url: str = ""
    checksum: str = ""
    settings: Settings = field(default=(), repr=False)

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedTowers:
        """Return the model with its weights on `device`, from this node's copy."""
        copy = Path(local_copy(self.url, self.checksum, None, self.settings)).parent
        return RewardScorer(str(copy), self.digest, self.tuned, self.prompt).setup(device, threads)


def score_images(
    cfg: Config,
    context: StageContext,
    head: Head | None,
    model: SavedModel,
    images: DataFrame,
    vectors: DataFrame,
    texts: DataFrame,
    captions: DataFrame,
) -> Scored:
    """Return the scores of the kept images that have a text.

    Args:
        cfg: the configuration.
        context: of the stage.
        head: of a model on stored vectors; None where the encoder was trained too, and images must be read again.
        model: the model as it was written.
        images: rows of the table `images`.
        vectors: image_id, embedding of the kept images.
        texts: rows of `text_embeddings` of the encoder.
        captions: rows of the table `captions`.
    """
    captioner = specs.captioner(cfg)
    written = captions.where(F.col("model_id") == (captioner.model_id if captioner else ""))
    items = rewards.own_texts(images.join(vectors.select("image_id"), "image_id", "left_semi"), written)
    if head is not None:
        scores, rejects = context.materialize(rewards.score_vectors(items, vectors, texts, head)), None
    else:
        scores, rejects = _score_pixels(cfg, context, model, items, images, texts)
    return Scored(scores, rejects, list(_count(scores)))


def _score_pixels(
    cfg: Config, context: StageContext, model: SavedModel, rows: DataFrame, images: DataFrame, texts: DataFrame
) -> tuple[DataFrame, DataFrame]:
    context.log("reward: the encoder was trained too, so the kept images are read again to be scored")
    prompts = texts.select("text_id", F.col("text").alias("prompt"))
    items = rows.join(prompts, "text_id").join(images.select("image_id", "source_key", "content"), "image_id")
    feed = specs.feed(cfg, cfg.baselines)
    with picture_batches(context.spark, cfg.baselines.arrow_batch):
        answered = context.materialize(infer(items, "content", model.scorer(), "float", feed, also=("prompt",)))
    scores = answered.where("error IS NULL").withColumn("score", F.col("value").cast("double"))
    return scores.select(*rewards.SCORED), failures(answered).withColumn("stage", F.lit("reward"))


def _count(scores: DataFrame) -> Iterator[Result]:
    for row in sorted(scores.groupBy("source").count().collect()):
        what = "complete count of the kept images with a vector"
        value = Value(float(row["count"]), None, None, row["count"], "images", what)
        yield Result.of(ANALYSIS, "scored", value, source=row["source"])
