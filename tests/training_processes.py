"""Processes that fine-tune together, started without Spark from one that has imported what they need."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.connection import Connection
from typing import Any

from twigma_spark.estimators import fine_tuning
from twigma_spark.estimators.fine_tuning import FineTuned, FineTuning
from twigma_spark.models import reward_fit
from twigma_spark.models.checkpoints import Checkpoint

# What a process takes seconds to import.
IMPORTS = (__name__, "torch", "open_clip", "transformers", "pyarrow.dataset")


def train_together(job: FineTuning, pairs: int, dies_after: int | None = None) -> tuple[FineTuned, list[int]] | None:
    """Return the model of two processes and the epochs that were written; None where they died.

    Args:
        job: what and how.
        pairs: one more than the highest number of a pair.
        dies_after: the first process is gone as soon as it has written this epoch; the other one is killed then, as
            torchrun does.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = context.Pipe(duplex=False)
    started = [context.Process(target=_train, args=(rank, port, job, pairs, dies_after, writing)) for rank in range(2)]
    for process in started:
        process.start()
    writing.close()
    if dies_after is not None:
        started[0].join()
        started[1].kill()
    try:
        found: tuple[FineTuned, list[int]] = reading.recv()
    except EOFError:
        return None
    finally:
        for process in started:
            process.join()
    return found


def _train(rank: int, port: int, job: FineTuning, pairs: int, dies_after: int | None, out: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2}
    os.environ |= {name: str(value) for name, value in place.items()}
    write, written = reward_fit.save_checkpoint, []

    def write_and_die(folder: Any, checkpoint: Checkpoint, of: Any) -> None:
        write(folder, checkpoint, of)
        written.append(checkpoint.epoch)
        if checkpoint.epoch == dies_after:
            os._exit(1)

    reward_fit.save_checkpoint = write_and_die
    model = fine_tuning._train_as_one(job, pairs)
    if rank == 0:
        out.send((model, written))
