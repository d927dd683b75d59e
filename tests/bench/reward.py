"""The reward model: mining of pairs, an epoch of training from memory-mapped vectors, and scoring of images."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench.records import Record, alternate, keep, seconds
from twigma_spark.estimators.reward import HeadTrainer, Pairs
from twigma_spark.estimators.vector_file import VectorFile, write_vectors
from twigma_spark.io import arrow
from twigma_spark.io.session import open_session
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource, load_clip
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward import Reward
from twigma_spark.models.reward_head import Head
from twigma_spark.transforms import preferences
from twigma_spark.transforms.preferences import PairRule

IMAGES, PROMPTS = 1_700_000, 104_000
VECTORS, DIM, PAIRS = 1_000_000, 512, 3_000_000
SOME, FEW = 200_000, 300_000
ROUNDS = 3


def main() -> None:
    """Write build/bench/reward.json."""
    with tempfile.TemporaryDirectory(prefix="twigma-bench-") as scratch:
        keep("reward", "pairs", mine(Path(scratch)))
        for record in epochs(Path(scratch)):
            keep("reward", "training", record)
    keep("reward", "scoring", scoring())


def mine(folder: Path) -> Record:
    """Return the seconds from the tables `images` and `posts` to the pairs, on Parquet files of their columns."""
    session, _ = open_session("bench", master="local[2]", conf={"spark.driver.memory": "4g"})
    images, posts = (_posts(session, folder / name, name) for name in ("images", "posts"))
    nothing = "image_id STRING, cluster INT", "image_id STRING, score DOUBLE"
    clusters, scores = (arrow.local_frame(session, [], schema) for schema in nothing)
    rule, made = PairRule(), folder / "pairs"

    def run() -> None:
        posted = preferences.posted_images(images, images, posts, clusters, scores, 0.5)
        mined = preferences.mine_pairs(preferences.compared_images(posted, rule), rule)
        mined.write.mode("overwrite").parquet(str(made))

    took = seconds(run)
    found = session.read.parquet(str(made))
    notes = f"{found.count():,} pairs, {found.where('matched').count():,} matched; written to Parquet"
    session.stop()
    name = f"mining pairs of {IMAGES:,} images and {PROMPTS:,} prompts"
    return Record(name, took, "s", target="< 180 s", holds=took < 180, notes=notes)


def _posts(session: SparkSession, path: Path, what: str) -> DataFrame:
    """Return the columns of `images` or of `posts` that pairs are made of; prompts have images as 1 / their rank."""
    rows = session.range(0, IMAGES, 1, 16)
    hashed = [F.pmod(F.xxhash64("id", F.lit(n)), F.lit(10**6)) / 1e6 for n in range(5)]
    post_id = F.format_string("t%09d", "id")
    if what == "images":
        prompt = F.format_string("prompt %06d", F.floor(F.pow(hashed[0], 1.5) * PROMPTS).cast("bigint"))
        made = rows.select(
            F.md5(F.col("id").cast("string")).alias("image_id"), F.lit("bench").alias("corpus"),
            post_id.alias("post_id"), F.lit(None).cast("boolean").alias("sensitive"),
            prompt.alias("prompt"), prompt.alias("prompt_id"),
        )  # fmt: skip
    else:
        made = rows.select(
            post_id.alias("post_id"),
            F.format_string("a%07d", F.floor(hashed[1] * 1_500_000).cast("bigint")).alias("author_id"),
            F.exp(hashed[2] * 12).cast("bigint").alias("author_followers"),
            F.exp(hashed[3] * 7).cast("bigint").alias("like_count"),
            (F.lit(1_600_000_000) + hashed[4] * 30 * 86_400).cast("timestamp").alias("created_at"),
        )
    made.write.parquet(str(path))
    return session.read.parquet(str(path))


def epochs(folder: Path) -> list[Record]:
    """Return the time and the memory of an epoch over all pairs, and its rate against the same loop in memory."""
    images, texts = (_vector_file(folder / f"{what}.f16", n) for what, n in (("images", VECTORS), ("texts", PROMPTS)))
    some, validation = _pairs(SOME), _pairs(1000)
    spec = TrainingSpec(epochs=1, patience=1)
    held = [np.asarray(file.matrix, np.float32) for file in (images, texts)]
    times = alternate(
        lambda: HeadTrainer(images.matrix, texts.matrix, spec).train(some, validation),
        lambda: HeadTrainer(held[0], held[1], spec).train(some, validation),
        ROUNDS,
    )
    feed = Record(
        f"an epoch of {SOME:,} pairs from memory-mapped float16 vectors, {VECTORS:,} x {DIM}", times.ours, "s",
        times.theirs, times.speedup, ">= 0.8", times.speedup >= 0.8, f"medians of {ROUNDS}",
        "the same loop on float32 arrays in memory",
    )  # fmt: skip
    # In processes of their own, whose memory is that of the training alone.
    said, few = (_apart(f"one_epoch({str(folder)!r}, {n})") for n in (PAIRS, FEW))
    each = (said[1] - few[1]) * 2**20 / (PAIRS - FEW)
    name = f"an epoch of {PAIRS:,} pairs over {VECTORS:,} x {DIM}"
    return [
        feed,
        Record(name, said[0], "s", notes=f"{PAIRS / said[0]:,.0f} pairs/s"),
        Record(
            f"memory of its own, {PAIRS:,} pairs", said[1], "MB", notes="without the pages of the mapped file"
        ),
        Record(
            "memory of its own for a further pair", each, "B", target="<= 80", holds=each <= 80,
            notes=f"from {FEW:,} to {PAIRS:,} pairs; reward.most bounds them, and the vectors are in no memory",
        ),
    ]  # fmt: skip


def _apart(call: str) -> list[float]:
    code = f"from tests.bench.reward import one_epoch; {call}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [float(each) for each in done.stdout.split()]


def one_epoch(folder: str, n: int) -> None:
    """Print the seconds of an epoch over n pairs, and the process's own memory in MB."""
    files = [np.memmap(f"{folder}/{what}.f16", np.float16, "r").reshape(-1, DIM) for what in ("images", "texts")]
    pairs, validation = _pairs(n), _pairs(1000)
    spec = TrainingSpec(epochs=1, patience=1)
    took = seconds(lambda: HeadTrainer(files[0], files[1], spec).train(pairs, validation))
    lines = Path("/proc/self/status").read_text().splitlines()
    anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    print(took, anonymous / 1024)


def _vector_file(path: Path, rows: int) -> VectorFile:
    rng = np.random.default_rng(0)

    def batches(size: int = 10_000) -> list[pa.RecordBatch] | object:
        for start in range(0, rows, size):
            n = min(size, rows - start)
            found = rng.standard_normal((n, DIM), dtype=np.float32)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
            yield pa.record_batch([pa.array(np.arange(start, start + n)), arrow.lists(found)], ["key", "embedding"])

    return write_vectors(batches(), path)  # type: ignore[arg-type]


def _pairs(n: int) -> Pairs:
    rng = np.random.default_rng(n)
    one, other = (rng.integers(0, VECTORS, n) for _ in range(2))
    return Pairs(rng.integers(0, PROMPTS, n), one, other, np.ones(n, np.float32))


def scoring() -> Record:
    """Return the rate of `Reward.score` against the network's bare forward pass."""
    import torch

    encoder = ClipImage(ClipSource("ViT-B-32", "random-0"))
    model, bare = Reward(Head.identity(DIM), encoder), load_clip(encoder.source)
    pixels = torch.rand((256, 3, 224, 224), generator=torch.Generator().manual_seed(0))

    def ours() -> None:
        with torch.no_grad():
            model.score(images=pixels, prompts=["a castle at night"], batch_size=32)

    def theirs() -> None:
        with torch.no_grad():
            for start in range(0, len(pixels), 32):
                bare.encode_image(pixels[start : start + 32], normalize=True)

    ours()
    times = alternate(ours, theirs, ROUNDS)
    name = f"Reward.score, {len(pixels)} images of one prompt, ViT-B/32"
    rate, other = len(pixels) / times.ours, len(pixels) / times.theirs
    return Record(
        name, rate, "images/s", other, times.speedup, ">= 0.9", times.speedup >= 0.9,
        f"medians of {ROUNDS}", "the bare forward pass",
    )  # fmt: skip


if __name__ == "__main__":
    main()
