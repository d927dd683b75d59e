"""What Spark alone can tell before the first stage: whether the paths that are not on this machine are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pyspark.sql import SparkSession

from twigma_spark.checks.places import WITH_ARTIFACTS, read_paths
from twigma_spark.checks.problem import Problem
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.artifacts import folder
from twigma_spark.io.export import try_to_write
from twigma_spark.io.local_files import URL
from twigma_spark.io.session import is_local, path_exists
from twigma_spark.io.url_files import settings_of


def check_remote(cfg: Config, stages: Collection[str], spark: SparkSession) -> None:
    """Check all URLs that the stages read, and that Spark knows the storage of the tables.

    Raises:
        ConfigError: names each that is not there, or that Spark cannot reach.
    """
    if faults := [str(problem) for problem in find_remote_problems(cfg, stages, spark)]:
        raise ConfigError("the run must be able to start. Faults:\n" + "\n".join(f"  {fault}" for fault in faults))


def find_remote_problems(cfg: Config, stages: Collection[str], spark: SparkSession) -> Iterator[Problem]:
    """Yield what is wrong with paths that are URLs."""
    if WITH_ARTIFACTS & set(stages):
        yield from _check_artifacts(cfg, stages, spark)
    for key, path in {**read_paths(cfg, stages), "store.root": cfg.store.root}.items():
        if path is None or not URL.match(path):
            continue
        try:
            there = path_exists(spark, path)
        except OSError as error:
            yield Problem(key, f"must be a place that Spark can reach. Got {path!r}: {error}")
            continue
        if there is False and key != "store.root":  # which is made where it is missing
            yield Problem(key, f"must be an existing file or folder. Got {path!r}")


def _check_artifacts(cfg: Config, stages: Collection[str], spark: SparkSession) -> Iterator[Problem]:
    """Yield what is wrong with a place of artifacts that is a URL: a small file is written there, and removed."""
    where = folder(cfg.store.root, cfg.store.artifacts, settings_of(spark))
    if not where.is_remote:
        return
    try:
        try_to_write(where.place, where.settings)
    except ConfigError as error:
        yield Problem("store.artifacts", str(error))
    if "reward" in stages and cfg.reward.fine_tune.enabled and not is_local(spark):
        yield Problem(
            "store.artifacts",
            "must be a folder that the driver and all workers can write where reward.fine_tune.enabled is true on a "
            f"cluster, such as /Volumes/...: the workers write the pairs with their images there. Got {where.place!r}",
        )
