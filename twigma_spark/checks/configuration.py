"""What is known to be wrong before Spark starts: paths, metadata, models, numbers of images, places to write to."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

from twigma_spark.checks.metadata import check_metadata
from twigma_spark.checks.places import check_folders, check_urls, read_paths
from twigma_spark.checks.problem import Problem, absolute, require_path
from twigma_spark.config.data import Corpus
from twigma_spark.config.models import ImageModel, OnnxSettings, OpenClip, RewardModelSettings
from twigma_spark.config.section import Section
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError, CorpusError, ModelError
from twigma_spark.io import artifacts, local_files
from twigma_spark.io.local_files import ON_THIS_MACHINE, URL, is_table_name
from twigma_spark.io.pair_feed import WAY_OUT, why_no_petastorm
from twigma_spark.models.base import SAMPLE_PREFIX, local_path
from twigma_spark.models.reward_files import FOLDER
from twigma_spark.models.reward_scorer import RewardScorer
from twigma_spark.stages import specs
from twigma_spark.stages.readers.reader import reader_of

# Files of a corpus that are counted; where there are more, there are enough.
MOST_FILES = 50_000


def check(cfg: Config, stages: Collection[str], log: Callable[[str], None]) -> None:
    """Show warnings, and raise all faults at once.

    Args:
        cfg: the configuration.
        stages: names of those that shall run; what none of them needs is not checked.
        log: shows a line.

    Raises:
        ConfigError: a stage would fail.
    """
    problems = find_problems(cfg, stages)
    for problem in problems:
        if not problem.fatal:
            log(f"warning: {problem}")
    if faults := [problem for problem in problems if problem.fatal]:
        raise ConfigError("the run must be able to start. Faults:\n" + "\n".join(f"  {fault}" for fault in faults))


def find_problems(cfg: Config, stages: Collection[str]) -> list[Problem]:
    """Return the faults and warnings of a configuration; a path that is not on this machine is not looked at."""
    problems = list(check_urls(cfg, stages))
    if not _is_on_cluster():
        problems += check_folders(cfg, stages)
        if cfg.sample.out is None or Path(cfg.sample.out).exists():  # else it is drawn before the first stage
            problems += _check_corpora(cfg, stages) if "ingest" in stages else []
            problems += _check_inputs(cfg, stages)
    return [*problems, *_check_models(cfg, stages), *(_check_feed(cfg) if "reward" in stages else [])]


def _check_feed(cfg: Config) -> Iterator[Problem]:
    """Yield that petastorm is asked for where it cannot run."""
    own = cfg.reward.fine_tune
    if own.enabled and own.feed == "petastorm" and (reason := why_no_petastorm()):
        yield Problem("reward.fine_tune.feed", f"must be arrow {reason}. Got 'petastorm'; {WAY_OUT}")


def _is_on_cluster() -> bool:
    """Return whether spark-submit or Databricks runs this, where a path without a scheme need not be this machine's."""
    return bool({"PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION"} & os.environ.keys())


def _check_corpora(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    if not cfg.corpora:
        yield Problem(
            "corpora", "must name a corpus. Got none; name a file with --conf, such as a copy of conf/folder.yaml"
        )
    images: dict[str, int] = {}
    for corpus in cfg.corpora:
        key = f"corpora.{corpus.name}"
        if URL.match(corpus.path) or is_table_name(corpus.path):
            continue
        if corpus.fetch and "fetch" in stages:
            yield from _check_addresses(corpus, key)
            continue
        if not Path(corpus.path).exists():
            yield require_path(f"{key}.path", corpus.path)
            continue
        images[corpus.name], problems = _count_images(cfg, corpus, f"{key}.path")
        yield from problems or _check_maker(cfg, corpus, key)
        if corpus.reader == "folder" and corpus.metadata is not None and not URL.match(corpus.metadata):
            yield from check_metadata(corpus, f"{key}.metadata")
    if "cluster" in stages:
        yield from _check_clusterings(cfg, images)


def _check_maker(cfg: Config, corpus: Corpus, key: str) -> Iterator[Problem]:
    """Yield that the vectors of a corpus are of another model than that of the run."""
    vectors = reader_of(corpus).vectors
    if vectors is not None:
        yield from _try(key, lambda: specs.check_maker(corpus, specs.image_encoder(cfg), vectors(corpus).dim))
    elif corpus.embedded_by is not None:
        text = f"must be null for the reader {corpus.reader}. Got {corpus.embedded_by!r}; the run embeds its images"
        yield Problem(f"{key}.embedded_by", text)


def _check_addresses(corpus: Corpus, key: str) -> Iterator[Problem]:
    """Yield what is wrong with a corpus whose pictures are yet to be downloaded: what names them must be there."""
    named = ("metadata", corpus.metadata) if corpus.metadata is not None else ("path", corpus.path)
    if not URL.match(named[1]) and not Path(named[1]).exists():
        yield require_path(f"{key}.{named[0]}", named[1])


def _count_images(cfg: Config, corpus: Corpus, key: str) -> tuple[int, list[Problem]]:
    """Return how many images a corpus has, MOST_FILES files and its limit at most, and that it has none."""
    reader = reader_of(corpus)
    try:
        counted = None if reader.check is None else reader.check(corpus)
    except CorpusError as error:
        return 0, [Problem(key, str(error))]
    if counted is not None:
        return min(counted, corpus.limit or counted), []
    folder = reader.image_folder(corpus)
    files = [file.key for file in islice(local_files.list_files(folder, cfg.ingest.follow_links), MOST_FILES)]
    images = sum(map(local_files.is_image, files))
    if images or len(files) == MOST_FILES:
        return min(images, corpus.limit or images), []
    suffixes = ", ".join(local_files.IMAGE_SUFFIXES)
    text = f"must hold images ({suffixes}). Got none among {len(files):,} files in {absolute(folder)}"
    return 0, [Problem(key, text)]


def _check_clusterings(cfg: Config, images: Mapping[str, int]) -> Iterator[Problem]:
    for clustering in cfg.cluster.clusterings:
        names = cfg.of_role(*clustering.roles)
        if names and all(name in images for name in names):
            number = sum(images[name] for name in names)
            if 0 < number < clustering.k:
                rule, place = "must be at most the number of images", ", ".join(names)
                text = f"{rule}. Got {clustering.k}, and {number} images in {place}"
                yield Problem(f"cluster.clusterings.{clustering.id}.k", text)


def _check_inputs(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with other files that stages read."""
    for key, path in read_paths(cfg, stages).items():
        if not key.startswith("corpora.") and path is not None and not URL.match(path) and not Path(path).exists():
            yield require_path(key, path)


def _check_models(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    if "embed" in stages:
        yield from _try("models.image", partial(_load_encoder, cfg, cfg.models.image))
        yield from _check_scaling("models.image", cfg.models.image)
        also = cfg.models.image_also
        if also is not None:
            yield from _try("models.image_also", partial(_load_encoder, cfg, also))
            yield from _check_scaling("models.image_also", also)
    if "caption" in stages and cfg.models.caption is not None:
        yield from _try("models.caption", partial(_find, cfg.models.caption.name))
    if "score" in stages:
        for name, model in cfg.models.scores.items():
            yield from _try(f"models.scores.{name}", partial(_load_scorer, cfg, name))
            yield from _check_own_reward(cfg, f"models.scores.{name}", model)
            yield from _check_scaling(f"models.scores.{name}", model)
    if "baselines" in stages:
        for name in cfg.baselines.models:
            yield from _try(f"baselines.models.{name}", partial(_check_baseline, cfg, name))
    if "report" in stages and "nsfw" not in cfg.models.scores:
        text = "has no nsfw: the report hides every picture that its post did not flag as harmless"
        yield Problem("models.scores", text, fatal=False)


def _check_own_reward(cfg: Config, key: str, model: Section) -> Iterator[Problem]:
    """Yield that a score is of the model that the run itself trains: each training would make all scores anew."""
    if not isinstance(model, RewardModelSettings):
        return
    try:
        where = artifacts.folder(cfg.store.root, cfg.store.artifacts)
    except ConfigError:
        return  # which is said of store.artifacts
    if not where.is_remote and Path(model.path).resolve() == (where.local / FOLDER).resolve():
        text = f"must be another folder than that which the stage reward writes to. Got {model.path!r}; copy the model"
        yield Problem(f"{key}.path", text)


def _check_scaling(key: str, model: Section) -> Iterator[Problem]:
    """Yield a warning where nobody said which numbers an ONNX network takes: fed wrongly, it answers all the same."""
    if isinstance(model, OnnxSettings) and not model.is_scaling_given:
        text = (
            "is fed pixels from 0 to 1. If that is right, set preset: zero_to_one; "
            "else preset: imagenet or clip, or scale, mean and std"
        )
        yield Problem(key, text, fatal=False)


def _try(key: str, load: Callable[[], None]) -> Iterator[Problem]:
    try:
        load()
    except ModelError as error:
        yield Problem(key, str(error))


def _find(*paths: str | None) -> None:
    """Check that what a model is loaded from is on this machine: a download of its own is not part of a model."""
    for path in paths:
        if path is not None and URL.match(path) and not path.startswith(SAMPLE_PREFIX):
            raise ModelError(
                f"path must be a file or folder {ON_THIS_MACHINE}. Got {path!r}; copy it to each node first"
            )
        if path is not None and specs.is_path(path):
            local_path(path)


def _load_scorer(cfg: Config, name: str) -> None:
    settings = cfg.models.scores[name]
    _find(settings.path, getattr(settings, "vocabulary", None))
    model = specs.scorer(cfg, settings)
    if isinstance(model, RewardScorer):
        model.check(specs.image_encoder(cfg).model_id)  # importing torch to load its network takes seconds
    else:
        model.setup()


def _check_baseline(cfg: Config, name: str) -> None:
    model = cfg.baselines.models[name]
    for path in (model.path, getattr(model, "tokenizer", model.path)):
        _find(path)
        local_path(path)
    _ = specs.baselines(cfg)[name].preprocess_rev  # reads the description of the network and not its weights


def _load_encoder(cfg: Config, settings: ImageModel) -> None:
    _find(settings.path, getattr(settings, "pretrained", None))
    model = specs.encoder(cfg, settings)
    if not isinstance(settings, OpenClip):
        model.setup()  # the network's inputs and outputs; of open_clip, importing torch alone takes seconds
        return
    _ = model.model_id
    name, known = settings.name, _list_architectures()
    if name is None or not known or specs.is_path(name) or name.startswith("hf-hub:"):
        return
    if name.replace("/", "-") not in known:
        raise ModelError(f"name must be an architecture of open_clip, such as ViT-L-14. Got {name!r}.")


def _list_architectures() -> set[str]:
    """Return the names that open_clip knows, from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("open_clip")
    folder = Path(spec.origin).parent / "model_configs" if spec and spec.origin else None
    return {path.stem for path in folder.glob("*.json")} if folder and folder.is_dir() else set()
