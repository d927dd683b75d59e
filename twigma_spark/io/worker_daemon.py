"""pyspark's daemon with the model libraries loaded: the workers that it forks do not load them again.

Loading open_clip takes ten seconds of a processor, and every worker would. Spark starts this module in place of
`pyspark.daemon` where `spark.python.daemon.module` names it (`io.session.open_session`).
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

from pyspark.daemon import manager

IMPORTS = "TWIGMA_WORKER_IMPORTS"


def load(names: str) -> None:
    """Import modules, their names joined by commas; one that fails is left to the worker, which says why."""
    # The daemon's standard output is its channel to Spark.
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        for name in filter(None, names.split(",")):
            try:
                importlib.import_module(name)
            except Exception as error:
                sys.stderr.write(f"twigma: workers load {name} themselves, for here it failed: {error}\n")
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
    # Objects that the collector never visits again stay in memory pages that all workers share.
    gc.freeze()


if __name__ == "__main__":
    load(os.environ.get(IMPORTS, ""))
    manager()  # type: ignore[no-untyped-call]
