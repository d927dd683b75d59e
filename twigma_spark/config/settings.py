"""All settings of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, model_validator

from twigma_spark.config.analyses import (
    Concordance,
    Distinctiveness,
    LikesSettings,
    Project,
    Report,
    Trends,
    Variation,
)
from twigma_spark.config.collect import Collect
from twigma_spark.config.data import Corpus, Purge, RunSettings, SampleSettings, Spark, StoreSettings, Texts
from twigma_spark.config.engine import (
    Cluster,
    Deduplicate,
    EmbedText,
    Fetch,
    Inference,
    Ingest,
    Neighbours,
)
from twigma_spark.config.models import Models
from twigma_spark.config.release import Release
from twigma_spark.config.reward import Baselines, PairsSettings, RewardSettings
from twigma_spark.config.section import Section, StageSection
from twigma_spark.errors import ConfigError

# Names of scorers that the report's evaluation of rewards always has.
REPORT_SCORERS = frozenset({"reward", "random"})


class Config(Section):
    """All settings of a run."""

    seed: int = Field(20230105, ge=0)
    store: StoreSettings = StoreSettings()
    spark: Spark = Spark()
    run: RunSettings = RunSettings()
    purge: Purge = Purge()
    sample: SampleSettings = SampleSettings()
    corpora: tuple[Corpus, ...] = ()
    texts: tuple[Texts, ...] = ()
    models: Models = Models()
    collect: Collect = Collect()
    fetch: Fetch = Fetch()
    ingest: Ingest = Ingest()
    embed: Inference = Inference()
    phash: Inference = Inference()
    deduplicate: Deduplicate = Deduplicate()
    score: Inference = Inference()
    caption: Inference = Inference()
    embed_text: EmbedText = EmbedText()
    cluster: Cluster = Cluster()
    neighbours: Neighbours = Neighbours()
    project: Project = Project()
    distinctiveness: Distinctiveness = Distinctiveness()
    variation: Variation = Variation()
    likes: LikesSettings = LikesSettings()
    trends: Trends = Trends()
    concordance: Concordance = Concordance()
    pairs: PairsSettings = PairsSettings()
    baselines: Baselines = Baselines()
    reward: RewardSettings = RewardSettings()
    report: Report = Report()
    release: Release = Release()

    @model_validator(mode="after")
    def _corpora_agree(self) -> Config:
        names = [c.name for c in self.corpora] + [t.name for t in self.texts]
        if doubled := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"corpora and texts must be named differently. Got twice: {doubled}.")
        ids = [c.id for c in self.cluster.clusterings]
        if len(set(ids)) < len(ids):
            raise ValueError(f"cluster.clusterings must have different ids. Got {ids}.")
        return self

    @model_validator(mode="after")
    def _pairs_agree(self) -> Config:
        ids, wanted = [c.id for c in self.cluster.clusterings], self.pairs.match.clustering
        if wanted is not None and wanted not in ids:
            raise ValueError(
                f"pairs.match.clustering must be an id of cluster.clusterings ({', '.join(ids)}). Got {wanted!r}."
            )
        if self.pairs.prompts == "nearest" and self.models.image.kind != "open_clip":
            raise ValueError(
                "pairs.prompts must be exact where models.image has no text tower (kind: open_clip). Got 'nearest'."
            )
        names = [c.name for c in self.corpora]
        if unknown := sorted({file.corpus for file in self.pairs.files} - set(names)):
            raise ValueError(
                f"pairs.files must name corpora. Got {', '.join(unknown)!r}; there are {', '.join(names)}."
            )
        if doubled := sorted(set(self.baselines.models) & set(self.models.scores)):
            raise ValueError(f"baselines.models must have other names than models.scores. Got {', '.join(doubled)!r}.")
        if reserved := sorted(REPORT_SCORERS & {*self.baselines.models, *self.models.scores}):
            raise ValueError(
                "models.scores and baselines.models must have other names than the scorers that the report always has, "
                f"{' and '.join(sorted(REPORT_SCORERS))}. Got {', '.join(reserved)!r}."
            )
        return self

    def of_role(self, *roles: str) -> list[str]:
        """Return the names of the corpora that have one of `roles`, in the order of the configuration."""
        return [c.name for c in self.corpora if c.role in roles]

    def fingerprint(self, keys: Iterable[str]) -> str:
        """Return a hash of the values under dotted `keys`, such as ``("embed", "models.image")``."""
        picked = {key: _dig(self.model_dump(mode="json"), key) for key in sorted(keys)}
        return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:16]


def stage_names() -> list[str]:
    """Return the names of the stages, in their order: those of the sections that hold a stage's settings."""
    kinds = {name: field.annotation for name, field in Config.model_fields.items()}
    return [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, StageSection)]


def check_stages(names: Iterable[str | None]) -> None:
    """Check that all names, but for None, are stages'.

    Raises:
        ConfigError: where one is not.
    """
    known = stage_names()
    for name in names:
        if name is not None and name not in known:
            raise ConfigError(f"a stage must be one of {', '.join(known)}. Got {name!r}.")


def select_stages(only: Sequence[str], first: str | None = None, last: str | None = None) -> list[str]:
    """Return the names of the stages asked for, in order.

    Raises:
        ConfigError: a name is no stage's, or no stage is left.
    """
    check_stages([*only, first, last])
    names = stage_names()
    start, end = names.index(first or names[0]), names.index(last or names[-1])
    if start > end:
        raise ConfigError(
            f"--from must not come after --to. Got {first!r} and {last!r}; the order is {', '.join(names)}."
        )
    if not (selected := [name for name in names[start : end + 1] if not only or name in only]):
        raise ConfigError(f"--only must lie between --from and --to. Got {', '.join(only)!r}.")
    return selected


def _dig(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data
