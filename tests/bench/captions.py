"""BLIP as it is run here against the loop of transformers' documentation: its real size, random weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.pictures import pictures
from tests.bench.records import Record, alternate, has_amx
from twigma_spark.models import tiny
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.device import resolve_precision
from twigma_spark.models.runner import run_batches

TOKENS, BATCH, SIZE, WORDS = 20, 8, 384, 30_524
ASKED = {"max_length": TOKENS, "min_length": TOKENS}


def save_base(folder: Path) -> Path:
    """Save BLIP base (ViT-B/16 at 384², a text decoder of 12 layers) with random weights."""
    from transformers import BlipConfig, BlipImageProcessor

    small = tiny.blip_config(WORDS).text_config
    ids = {name: getattr(small, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id")}
    # The default of the vision part, 1e-10, is for weights that are loaded.
    config = BlipConfig(text_config={"vocab_size": WORDS, **ids}, vision_config={"initializer_range": 0.02})
    words = [*tiny.SPECIAL_WORDS, *[f"w{n}" for n in range(WORDS - len(tiny.SPECIAL_WORDS))]]
    tiny.save_blip(tiny.new_blip(config, seed=1), words, folder)
    BlipImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return folder


def against_documentation(root: Path, images: int, rounds: int, threads: int) -> Record:
    """Return images/s of the inner loop at `auto` against the documentation's loop, and whether fp32 agrees."""
    import torch

    folder, files = save_base(root / "blip-base"), pictures(images, 512)
    documented = _documented(folder, files, "cpu", torch.float32)

    def spec(precision: str) -> BlipCaptioner:
        return BlipCaptioner(str(folder), precision=precision, **ASKED)

    exact = spec("fp32").setup("cpu", threads)
    same = np.mean([a == b for a, b in zip(exact(files[:BATCH]), documented()[:BATCH], strict=True)])
    del exact
    precision = resolve_precision("auto", "cpu")
    loaded = spec(precision).setup("cpu", threads)
    torch.set_num_threads(threads)
    times = alternate(lambda: list(run_batches([files], loaded, batch_size=BATCH)), documented, rounds)
    holds = bool(times.speedup >= 3 and same == 1) if has_amx() else None
    name = f"BLIP base, {images} images, {TOKENS} tokens, {precision}, against transformers' documentation"
    rates = images / times.ours, "images/s", images / times.theirs
    notes = f"{same:.0%} of {min(BATCH, images)} captions in fp32 have the same tokens; medians of {rounds}"
    return Record(name, *rates, times.speedup, ">= 3 on a CPU with AMX, same tokens in fp32", holds, notes)


def on_gpu(root: Path, device: str, images: int = 512, batch: int = 64) -> Record:
    """Return tokens/s of the inner loop in fp16 against the documentation's loop in fp16, both on the GPU."""
    import torch

    folder, files = save_base(root / "blip-base"), pictures(images, 512)
    documented = _documented(folder, files, device, torch.float16)
    loaded = BlipCaptioner(str(folder), precision="fp16", **ASKED).setup(device, 1)

    def ours() -> None:
        list(run_batches([files], loaded, batch_size=batch, decode_threads=8))

    ours()
    times = alternate(ours, documented, 3)
    name = f"BLIP base, {images} images, {TOKENS} tokens, greedy, fp16, batches of {batch}"
    rates = images * TOKENS / times.ours, "tokens/s", images * TOKENS / times.theirs
    notes = f"{images / times.ours:,.0f} images/s"
    beside = f"transformers' documentation, batches of {BATCH}"
    return Record(name, *rates, times.speedup, notes=notes, beside=beside)


def _documented(folder: Path, files: list[bytes], device: str, dtype: Any) -> Callable[[], list[str]]:
    """Return the loop of transformers' documentation over the files, BATCH at once."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    processor = AutoProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval().to(device)

    def caption() -> list[str]:
        texts = []
        for at in range(0, len(files), BATCH):
            raw = [Image.open(io.BytesIO(file)).convert("RGB") for file in files[at : at + BATCH]]
            inputs = processor(images=raw, return_tensors="pt").to(device, dtype)
            texts += processor.batch_decode(model.generate(**inputs, **ASKED), skip_special_tokens=True)
        return [text.strip() for text in texts]

    return caption
