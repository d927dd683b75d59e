"""The store of a run, on a session with the settings that fit its size, held against other runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

from pyspark.sql import SparkSession

from twigma_spark.config.models import Blip, OpenClip
from twigma_spark.config.settings import Config
from twigma_spark.io.lease import Held, Holder, Lease, LeaseFiles, NoLeaseError, hold, newest
from twigma_spark.io.lease_files import LocalLeases
from twigma_spark.io.lease_s3 import SCHEMES, S3Leases
from twigma_spark.io.lease_table import TableLeases
from twigma_spark.io.local_files import hold_at_most
from twigma_spark.io.s3_objects import client_of
from twigma_spark.io.session import cancel_jobs, is_alive, open_session
from twigma_spark.io.tables import Store, is_folder

Log = Callable[[str], None]
# Files of a session that is called short: below, starting and planning take longer than the work.
SHORT_BYTES = 2 * 2**30


# The stages whose workers load models.
WITH_MODELS = {"embed", "score", "caption", "embed_text"}


@contextmanager
def open_store(
    cfg: Config, stages: Collection[str] = (), writer: Holder | None = None, log: Log = lambda text: None
) -> Iterator[Store]:
    """Yield the store on a session; only a session that was started here is stopped.

    Args:
        cfg: the configuration.
        stages: names of those that will run in it; workers of a short session load what these import when they start.
        writer: who will write; holds the store against others until the end. None only reads.
        log: shows a line.

    Raises:
        HeldError: another run holds the store, also after `run.wait` seconds.
    """
    settings = cfg.spark.model_dump(exclude={"short_session"})
    models = (cfg.models.image, cfg.models.caption) if WITH_MODELS & set(stages) else ()
    imports = [model.worker_import for model in models if isinstance(model, OpenClip | Blip)]
    with ExitStack() as stack:

        def take(where: Callable[[], LeaseFiles]) -> Lease | None:
            held = hold(where, cfg.store.root, writer, cfg.run.wait, log) if writer else nullcontext()
            return stack.enter_context(held)

        # A folder needs no Spark to be held: a second run ends before it has started one.
        early = is_folder(cfg.store.root)
        lease = take(lambda: LocalLeases(cfg.store.root)) if early else None
        spark, ours = open_session("twigma", **settings, short=is_short(cfg), worker_imports=imports)
        if ours:
            stack.callback(_stop, spark)
        store = Store(spark, cfg.store.root)
        lease = lease if early else take(lambda: lease_files(store))
        if lease is not None:
            store.lease, lease.on_loss = lease, partial(cancel_jobs, spark)
        yield store


def find_holder(store: Store) -> Held | None:
    """Return who holds the store, or held it last; None where nobody has, or where no lease can be had."""
    try:
        return newest(lease_files(store))
    except NoLeaseError:
        return None


def lease_files(store: Store) -> LeaseFiles:
    """Return where the leases of a store are kept: beside its tables.

    Raises:
        NoLeaseError: none can be had there.
    """
    if is_folder(store.root):
        return LocalLeases(store.root)
    if store.root.startswith(SCHEMES):
        return S3Leases(store.root, client_of(store.spark))
    return TableLeases(store)


def is_short(cfg: Config) -> bool:
    """Return whether a session on this machine takes the settings for small data."""
    if cfg.spark.short_session is not None:
        return cfg.spark.short_session
    return hold_at_most([cfg.store.root, *(corpus.path for corpus in cfg.corpora)], SHORT_BYTES)


def _stop(spark: SparkSession) -> None:
    if is_alive(spark):
        spark.stop()
