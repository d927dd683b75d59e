"""On a GPU: `python -m tests.bench.gpu [--minutes 10] [--only PART]` writes build/bench/gpu.json; needs no Spark.

The rate of the network alone on pixels that lie on the device is the ceiling. The inner loop is given JPEG files.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import captions
from tests.bench.pictures import pictures
from tests.bench.records import Record, keep, machine, seconds
from twigma_spark.estimators.torch_index import TorchFlatIndex
from twigma_spark.models.clip import ClipImage, LoadedClipImage
from twigma_spark.models.clip_source import ClipSource, load_clip
from twigma_spark.models.device import cuda_count, limit_threads
from twigma_spark.models.runner import run_batches

MODELS = ("ViT-L-14", "ViT-B-32")
DEVICE = "cuda:0"
BATCH, ROWS = 256, 128  # images of a forward pass, and those that arrive at once
# Network, side and number of the images; decoder and threads.
LOOPS = (("ViT-L-14", 288, 8192), ("ViT-B-32", 288, 16_384), ("ViT-L-14", 1536, 2048))
DECODERS = (("nvjpeg", 2), ("nvjpeg", 4), ("fast", 4), ("fast", 8), ("fast", 16), ("pillow", 8))
QUERIES, REFERENCES, DIM, K = 805_650, 60_000, 768, 5


@dataclass
class Lease:
    """How long the parts may take together, and the ceilings measured so far."""

    minutes: float
    start: float = field(default_factory=time.perf_counter)
    ceilings: dict[str, float] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.minutes * 60 - (time.perf_counter() - self.start)


def forward(lease: Lease) -> Iterator[Record]:
    """The network alone, in bf16; in fp16, as a CUDA graph and compiled in the notes."""
    import torch

    for name in MODELS:
        tower = load_clip(_source(name)).visual.to(DEVICE, torch.bfloat16)
        with torch.inference_mode():
            pixels = torch.randn(BATCH, 3, 224, 224, device=DEVICE, dtype=torch.bfloat16)
            rate = lease.ceilings[name] = _rate(partial(tower, pixels), BATCH)
            others = {"as a CUDA graph": _rate(_graph(tower, pixels), BATCH)}
            if lease.left > 120:
                compiled = torch.compile(tower)
                others["torch.compile"] = _rate(partial(compiled, pixels), BATCH)
            others["fp16"] = _rate(partial(tower.to(torch.float16), pixels.half()), BATCH)
        notes = ", ".join(f"{variant} {other:,.0f}" for variant, other in others.items())
        yield Record(f"{name}, bf16, the network alone, batches of {BATCH}", rate, "images/s", notes=notes)
        del tower
        torch.cuda.empty_cache()


def loop(lease: Lease) -> Iterator[Record]:
    """The inner loop from JPEG files to vectors, by decoder and threads, against the network alone."""
    for name, side, images in LOOPS:
        files, model = pictures(images, side), load_clip(_source(name))
        ceiling = lease.ceilings[name]
        for decode, threads in DECODERS:
            if lease.left < 60:
                return
            count = images if decode == "nvjpeg" else images // 4
            limit_threads(1)
            loaded = LoadedClipImage(_clip(name, decode), model, DEVICE)
            _run(loaded, files[: 4 * BATCH], threads)
            rate = statistics.median(count / _run(loaded, files[:count], threads) for _ in range(3))
            what = f"inner loop, {name}, {count:,} JPEGs of {side}², decoded by {decode} in {threads} threads"
            share = rate / ceiling
            target = (">= 0.85", share >= 0.85) if decode == "nvjpeg" else ("", None)
            yield Record(what, rate, "images/s", ceiling, share, *target, beside="the network alone, bf16")


def tasks(lease: Lease) -> Iterator[Record]:
    """Several tasks on one GPU, each a process that decodes in threads of its own."""
    name = "ViT-L-14"
    for decode, count in (("fast", 2), ("fast", 4), ("nvjpeg", 2)):
        if lease.left < 60:
            return
        images, threads = 4096, 4
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(count)
        with context.Pool(count, _remember, (ready,)) as pool:
            spans = pool.starmap(_timed_task, [(name, decode, images, threads)] * count, chunksize=1)
        rate = count * images / (max(end for _, end in spans) - min(start for start, _ in spans))
        what = f"{count} tasks on the GPU, {name}, {images:,} JPEGs of 288² each, {decode} in {threads} threads each"
        ceiling = lease.ceilings[name]
        yield Record(what, rate, "images/s", ceiling, rate / ceiling, beside="the network alone, bf16")


def equal(lease: Lease) -> Iterator[Record]:
    """Vectors beside those of a CPU, of the sample's CLIP and of a ViT-B/32 with random weights."""
    files, sources = pictures(64, 288), (ClipSource(path="sample:clip"), _source("ViT-B-32"))
    on_cpu = [ClipImage(source).setup("cpu")(files) for source in sources]
    for decode, precision in (("fast", "fp32"), ("fast", "fp16"), ("fast", "bf16"), ("nvjpeg", "fp16")):
        on_gpu = [ClipImage(each, precision=precision, decode=decode).setup(DEVICE)(files) for each in sources]
        least = min(float((a * b).sum(axis=1).min()) for a, b in zip(on_gpu, on_cpu, strict=True))
        name = f"least cosine of a vector to the CPU's in fp32: {decode}, {precision}"
        notes = f"{len(files)} images, two models"
        yield Record(name, least, "", target=">= 0.9995", holds=least >= 0.9995, notes=notes)


def blip(lease: Lease) -> Iterator[Record]:
    """BLIP against transformers' documentation on the same GPU."""
    with tempfile.TemporaryDirectory() as folder:
        yield captions.on_gpu(Path(folder), DEVICE)


def search(lease: Lease) -> Iterator[Record]:
    """Exact search by torch on the device, against FAISS on this machine's cores where it is installed."""
    import torch

    torch.manual_seed(1)
    references, queries = (
        torch.nn.functional.normalize(torch.randn(rows, DIM, device=DEVICE), dim=1).cpu().numpy()
        for rows in (REFERENCES, QUERIES)
    )
    index = TorchFlatIndex(references, [DEVICE])
    index.search(queries[:10_000], K + 3)
    took = statistics.median(seconds(partial(index.search, queries, K + 3)) for _ in range(3))
    few = queries[: QUERIES // 20]
    name = f"{K} nearest of {REFERENCES:,} x {DIM} for {QUERIES:,} queries, torch, fp32"
    try:
        import faiss
    except ImportError:
        yield Record(name, took, "s", notes="FAISS is not installed here")
        return
    flat = faiss.IndexFlatIP(DIM)
    flat.add(references)
    flat.search(few[:1000], K + 3)
    start = time.perf_counter()
    _, theirs = flat.search(few, K + 3)
    on_cores = 20 * (time.perf_counter() - start)
    same = float((index.search(few, K + 3)[1][:, :K] == theirs[:, :K]).mean())
    notes = f"{same:.4%} of {few.shape[0] * K:,} rows are FAISS's; FAISS timed on a twentieth of the queries"
    beside = f"FAISS Flat on {faiss.omp_get_max_threads()} cores"
    yield Record(name, took, "s", on_cores, took / on_cores, notes=notes, beside=beside)


PARTS: Mapping[str, Callable[[Lease], Iterator[Record]]] = {
    "forward": forward,
    "equal": equal,
    "search": search,
    "blip": blip,
    "loop": loop,
    "tasks": tasks,
}


def main(argv: list[str] | None = None) -> None:
    """Run the parts that the time allows; without a GPU a record says that nothing was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; again for more; else all")
    parser.add_argument("--minutes", type=float, default=10, help="no part begins after them")
    asked = parser.parse_args(argv)
    if not cuda_count():
        keep("gpu", "gpu", Record("inference and search on a GPU", None, "images/s", notes="no CUDA device"))
        return
    import torch

    lease, on = Lease(asked.minutes), f"{torch.cuda.get_device_name(0)}, beside {machine()}"
    parts = list(asked.only or PARTS)
    if "forward" not in parts and {"loop", "tasks"} & set(parts):
        parts.insert(0, "forward")
    for part in parts:
        if lease.left < 60:
            print(f"[{part}] left out: the {asked.minutes:g} minutes are over", flush=True)
            continue
        print(f"[{part}] {' '.join((PARTS[part].__doc__ or '').split())}", flush=True)
        for record in PARTS[part](lease):
            keep("gpu", part, record, on)


def _source(name: str) -> ClipSource:
    return ClipSource(name=name, pretrained="random-1")


def _clip(name: str, decode: str) -> ClipImage:
    return ClipImage(_source(name), precision="bf16", decode=decode)


def _rate(call: Callable[[], object], images: int, least: float = 1.5) -> float:
    """Return images/s of a call on the device, repeated for `least` seconds after three that are not timed."""
    import torch

    for _ in range(3):
        call()
    torch.cuda.synchronize()
    start, turns = time.perf_counter(), 0
    while time.perf_counter() - start < least:
        for _ in range(4):
            call()
        torch.cuda.synchronize()
        turns += 4
    return turns * images / (time.perf_counter() - start)


def _graph(tower: Any, pixels: Any) -> Callable[[], None]:
    """Return the replay of a CUDA graph of the forward pass."""
    import torch

    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        for _ in range(3):
            tower(pixels)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tower(pixels)
    return graph.replay  # type: ignore[no-any-return]


def _run(loaded: Any, files: list[bytes], threads: int) -> float:
    """Return the seconds of the inner loop."""
    batches = [files[at : at + ROWS] for at in range(0, len(files), ROWS)]
    return seconds(lambda: list(run_batches(batches, loaded, batch_size=BATCH, decode_threads=threads)))


_ready: Any = None  # the barrier of a task's process


def _remember(ready: Any) -> None:
    global _ready
    _ready = ready


def _timed_task(name: str, decode: str, images: int, threads: int) -> tuple[float, float]:
    """Return when a task began and ended; all begin once each has its model."""
    loaded = _clip(name, decode).setup(DEVICE, 1)
    files = pictures(images, 288)
    _run(loaded, files[: 2 * BATCH], threads)
    _ready.wait()
    start = time.time()
    _run(loaded, files, threads)
    return start, time.time()


if __name__ == "__main__":
    main()
