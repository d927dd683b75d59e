"""Where a model runs and at which precision: from plain values, so that neither needs Spark or torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from twigma_spark.errors import ModelError
from twigma_spark.models.base import PRECISIONS, check_choice


def pick_device(addresses: Sequence[str] | None, visible: str | None, cuda_count: int = 0) -> str:
    """Return "cuda:<index>" or "cpu" for this process.

    Spark gives a task the address of its GPU as the machine counts them; CUDA counts only the GPUs that
    CUDA_VISIBLE_DEVICES leaves. Where a cluster manager has set that variable already, the address may not
    be among them, and the one that is visible is ours.

    Args:
        addresses: `TaskContext.resources()["gpu"].addresses`, or None outside of GPU scheduling.
        visible: The value of CUDA_VISIBLE_DEVICES, or None.
        cuda_count: GPUs that torch sees; used only where Spark assigned none.
    """
    if not addresses:
        return "cuda:0" if cuda_count > 0 else "cpu"
    address = addresses[0].strip()
    if visible:
        seen = [entry.strip() for entry in visible.split(",")]
        return f"cuda:{seen.index(address) if address in seen else 0}"
    return f"cuda:{address}"


def cuda_count() -> int:
    """Return how many GPUs torch sees in this process; imports torch."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve_precision(precision: str, device: str, cpu_flags: frozenset[str] | None = None) -> str:
    """Return "fp32", "bf16" or "fp16"; "auto" becomes what the device does well.

    On a GPU fp16 (as fast as bf16, closer to fp32, and known to every GPU since Volta). On a CPU bf16 where
    it has AMX (measured 4.8 times fp32 for ViT-B/32, two threads) or AVX-512 BF16 (2.3 times, AMD EPYC);
    else fp32. Resolved once, by the driver: the result is a part of the rows' key.

    Args:
        precision: One of PRECISIONS, or "auto".
        device: "cpu" or "cuda...".
        cpu_flags: The flags of the CPU; None reads /proc/cpuinfo.

    Raises:
        ModelError: `precision` is none of these, or fp16 on a CPU.
    """
    check_choice("precision", precision, ("auto", *PRECISIONS))
    if precision == "fp16" and not device.startswith("cuda"):
        raise ModelError("precision must be fp32, bf16 or auto on a CPU. Got 'fp16'.")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "fp16"
    flags = cpu_features() if cpu_flags is None else cpu_flags
    return "bf16" if flags & {"amx_bf16", "avx512_bf16"} else "fp32"


def cpu_features() -> frozenset[str]:
    """Return the CPU's flags as Linux names them; nothing where they cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


def multiplies_bf16_fast(flags: frozenset[str]) -> bool:
    """Return whether a CPU multiplies bf16 faster than float32: with AMX, or with AVX-512 BF16 if it is AMD's.

    Intel's AVX-512 BF16 has half the units that float32 has: 80 GFLOP/s against 150 on a core of an Emerald Rapids.
    SSE4a is AMD's alone.
    """
    return "amx_bf16" in flags or flags >= {"avx512_bf16", "sse4a"}


def limit_threads(threads: int | None) -> None:
    """Set torch's CPU threads for this process; None leaves them.

    Spark sets OMP_NUM_THREADS to spark.task.cpus in its workers, so torch has one thread there unless it is set.

    Raises:
        ModelError: `threads` is below 1.
    """
    if threads is None:
        return
    if threads < 1:
        raise ModelError(f"threads must be at least 1. Got {threads!r}.")
    import torch

    torch.set_num_threads(threads)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch compute with so many CPU threads inside; None leaves them.

    `threadpoolctl` does not do: a thread's first operation sets torch's own number again.
    """
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_memory(device: str) -> None:
    """Give the GPU memory that torch caches back to the device; nothing on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
