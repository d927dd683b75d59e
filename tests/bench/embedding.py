"""The embed job, from Delta to Delta, against a bare loop, a user's loop and two UDFs that ship pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from tests.bench.picture_table import fill, forget
from tests.bench.pictures import pictures
from tests.bench.records import Record, alternate, has_amx, seconds
from tests.onnx_network import mean_colour_network
from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io.session import picture_batches
from twigma_spark.io.tables import Store
from twigma_spark.models import cache
from twigma_spark.models.base import Model
from twigma_spark.runner import quiet
from twigma_spark.stages import specs

VIT_B_32 = "{kind: open_clip, name: ViT-B-32, pretrained: random-1, precision: auto, decode: fast}"
BATCH = 32
WARM = 64  # images of a run that only starts the workers


@dataclass(frozen=True)
class Setting:
    """What the sides of a comparison share."""

    store: Store
    small: Store
    network: str
    cfg: Config
    model: Model
    images: int
    side: int
    threads: int

    @property
    def what(self) -> str:
        """Return the images and the model in words."""
        return f"{self.network}, {self.images:,} images of {self.side}², {self.model.preprocess_rev}"

    def against(self, other: str, theirs: Callable[[], None], rounds: int, least: float, amx: bool = False) -> Record:
        """Return the whole job's images/s against those of another side."""
        warm = job(replace(self, store=self.small, images=WARM))
        first = seconds(warm)
        times = alternate(job(self), theirs, rounds, before=warm)
        holds = None if amx and not has_amx() else times.speedup >= least
        target = f">= {least}" + (" on a CPU with AMX" if amx else "")
        rates = self.images / times.ours, "images/s", self.images / times.theirs
        name = f"embed job, {self.what}, against {other}"
        notes = f"medians of {rounds}, workers started before; a first run, of {WARM} images: {first:.0f} s"
        return Record(name, *rates, times.speedup, target, holds, notes)


def setting(
    spark: SparkSession,
    root: Path,
    images: int,
    side: int,
    threads: int,
    network: tuple[str, str] = ("ViT-B/32", VIT_B_32),
) -> Setting:
    """Return a filled store and the configuration that a user has by default, but for the weights.

    `network` is its name and its configuration.
    """
    stores = []
    for count, pixels in ((images, side), (WARM, 288)):
        stores.append(Store(spark, str(root / f"embed-{count}-{pixels}")))
        if not stores[-1].exists("images"):
            fill(stores[-1], count, pixels)
    cfg = load([], [f"models.image={network[1]}", f"embed.batch_size={BATCH}"])
    return Setting(stores[0], stores[1], network[0], cfg, specs.image_encoder(cfg), images, side, threads)


def no_network(folder: Path) -> tuple[str, str]:
    """Return an encoder of 224 x 224 pixels that computes next to nothing, as where a GPU does it meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    path = mean_colour_network(folder / "mean_colour.onnx", ["n", 3, 224, 224], "n")
    return "no network but a mean colour", f"{{kind: onnx, path: {path}}}"


def job(given: Setting) -> Callable[[], None]:
    """Return the whole stage: staging, MERGE, account and the row of `runs`; it checks that no row is missing."""

    def run() -> None:
        forget(given.store)
        pipeline.run(given.cfg, given.store, pipeline.select(only=["embed"]), quiet)
        if given.store.count("embeddings") != given.images:
            raise RuntimeError("the job must write a row for each image")

    return run


def bare(given: Setting) -> Callable[[], None]:
    """Return a plain loop in this process: the same decoding and precision; the next batch is decoded meanwhile."""
    loaded = given.model.setup("cpu", given.threads)
    contents = pictures(given.images, given.side)
    batches = [contents[at : at + BATCH] for at in range(0, len(contents), BATCH)]

    def run() -> None:
        with ThreadPoolExecutor(given.threads) as pool:
            ahead = [pool.submit(loaded.prepare, item) for item in batches[0]]
            for following in [*batches[1:], []]:
                pixels = np.stack([each.result() for each in ahead])
                ahead = [pool.submit(loaded.prepare, item) for item in following]
                loaded.forward(pixels)

    return run


def readme_loop(given: Setting) -> Callable[[], None]:
    """Return what open_clip's README leads to: its model and transform, a DataLoader, fp32."""
    import open_clip
    import torch

    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None)
    model.eval()
    contents = pictures(given.images, given.side)

    class Files(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(contents)

        def __getitem__(self, n: int) -> torch.Tensor:
            return preprocess(Image.open(io.BytesIO(contents[n])))

    def run() -> None:
        torch.set_num_threads(given.threads)
        loader = torch.utils.data.DataLoader(Files(), batch_size=BATCH, num_workers=given.threads)
        with torch.no_grad():
            for batch in loader:
                features = model.encode_image(batch)
                features /= features.norm(dim=-1, keepdim=True)

    return run


def two_udfs(given: Setting) -> Callable[[], None]:
    """Return a job of two pandas UDFs: one gives arrays of pixels, the next takes them; the result is appended.

    The first goes from a series to a series, since it has no model to load. Two UDFs of the same kind would be run
    by Spark as one, and no pixels shipped.
    """
    model = given.model
    sample = cache.load(model).prepare(pictures(1, given.side)[0])
    shape, kind = sample.shape, sample.dtype

    def decode(batch: pd.Series) -> pd.Series:
        loaded = cache.load(model)
        return pd.Series([loaded.prepare(item).ravel().astype(np.float32) for item in batch])

    def forward(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        loaded = cache.load(model)
        for batch in batches:
            pixels = np.stack(batch.to_list()).astype(kind).reshape(len(batch), *shape)
            yield pd.Series(list(loaded.forward(pixels)))

    def run() -> None:
        forget(given.store)
        pixels = pandas_udf(decode, "array<float>")(F.col("content"))  # type: ignore[call-overload]
        vector = pandas_udf(forward, "array<float>")(F.col("pixels"))  # type: ignore[call-overload]
        rows = given.store.read("images").select("image_id", pixels.alias("pixels"))
        with picture_batches(given.store.spark, BATCH):
            rows.select("image_id", vector.alias("embedding")).write.format("delta").save(f"{given.store.root}/plain")

    return run
