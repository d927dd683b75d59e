"""Processes that train one network together, through torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Processes:
    """The processes that train together, and which one this is.

    Attributes:
        rank: of this process, from 0.
        size: how many there are; 1 needs no torch.distributed.
    """

    rank: int = 0
    size: int = 1

    def add(self, *tensors: Any) -> None:
        """Replace each tensor by its sum over the processes, in one exchange for all of them."""
        if self.size == 1 or not tensors:
            return
        import torch

        flat = torch.cat([each.reshape(-1) for each in tensors])
        torch.distributed.all_reduce(flat)
        start = 0
        for each in tensors:
            each.copy_(flat[start : start + each.numel()].view_as(each))
            start += each.numel()


ALONE = Processes()


@contextmanager
def join_processes(gpu: bool) -> Iterator[tuple[Processes, str]]:
    """Give the processes that torchrun, or Spark's TorchDistributor, started with this one, and this one's device.

    Args:
        gpu: whether each has one; else they compute on the CPU.
    """
    import torch

    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), torch.distributed.get_world_size()), device
    finally:
        torch.distributed.destroy_process_group()
