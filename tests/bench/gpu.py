"""On a GPU: the inner loop's share of the rate at which the network alone runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.pictures import pictures
from tests.bench.records import Record
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource, load_clip
from twigma_spark.models.device import cuda_count
from twigma_spark.models.runner import run_batches

MODELS = ("ViT-L-14", "ViT-B-32")
BATCH = 256


def shares(images: int, decode_threads: int) -> Iterator[Record]:
    """Yield a record for each model; without a GPU it says that nothing was measured."""
    for name in MODELS:
        yield _share(name, images, decode_threads) if cuda_count() else _none(name)


def _none(name: str) -> Record:
    return Record(f"inner loop on a GPU, {name}, share of the raw bf16 rate", None, "images/s", notes="no CUDA device")


def _share(name: str, images: int, decode_threads: int) -> Record:
    import torch

    source, gpu = ClipSource(name=name, pretrained="random-1"), torch.cuda.get_device_name(0)
    raw = _raw(source, images)
    loaded = ClipImage(source, precision="bf16").setup("cuda:0")
    files = pictures(images, 288)
    batches = [files[at : at + 128] for at in range(0, images, 128)]
    loop = {"batch_size": BATCH, "decode_threads": decode_threads}
    list(run_batches(batches[:4], loaded, **loop))
    start = time.perf_counter()
    list(run_batches(batches, loaded, **loop))
    ours = images / (time.perf_counter() - start)
    what = f"inner loop on {gpu}, {name}, {images:,} JPEGs of 288², {decode_threads} decode threads"
    return Record(f"{what}, share of the raw bf16 rate", ours, "images/s", raw, ours / raw)


def _raw(source: ClipSource, images: int) -> float:
    """Return images/s of the tower alone on pixels that are on the device already."""
    import torch

    tower = load_clip(source).visual.to("cuda:0", torch.bfloat16)
    pixels = torch.randn(BATCH, 3, 224, 224, device="cuda:0", dtype=torch.bfloat16)
    with torch.inference_mode():
        for _ in range(3):
            tower(pixels)
        torch.cuda.synchronize()
        start, turns = time.perf_counter(), max(1, images // BATCH)
        for _ in range(turns):
            tower(pixels)
        torch.cuda.synchronize()
    return turns * BATCH / (time.perf_counter() - start)
