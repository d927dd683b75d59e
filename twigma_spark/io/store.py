"""The store of a run, on a session with the settings that fit its size."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from twigma_spark.config.models import Blip, OpenClip
from twigma_spark.config.settings import Config
from twigma_spark.io.local_files import hold_at_most
from twigma_spark.io.session import is_alive, open_session
from twigma_spark.io.tables import Store

# Files of a session that is called short: below, starting and planning take longer than the work.
SHORT_BYTES = 2 * 2**30


# The stages whose workers load models.
WITH_MODELS = {"embed", "score", "caption", "embed_text"}


@contextmanager
def open_store(cfg: Config, stages: Collection[str] = ()) -> Iterator[Store]:
    """Yield the store on a session; only a session that was started here is stopped.

    Args:
        cfg: the configuration.
        stages: names of those that will run in it; workers of a short session load what these import when they start.
    """
    settings = cfg.spark.model_dump(exclude={"short_session"})
    models = (cfg.models.image, cfg.models.caption) if WITH_MODELS & set(stages) else ()
    imports = [model.worker_import for model in models if isinstance(model, OpenClip | Blip)]
    spark, ours = open_session("twigma", **settings, short=is_short(cfg), worker_imports=imports)
    try:
        yield Store(spark, cfg.store.root)
    finally:
        if ours and is_alive(spark):
            spark.stop()


def is_short(cfg: Config) -> bool:
    """Return whether a session on this machine takes the settings for small data."""
    if cfg.spark.short_session is not None:
        return cfg.spark.short_session
    return hold_at_most([cfg.store.root, *(corpus.path for corpus in cfg.corpora)], SHORT_BYTES)
