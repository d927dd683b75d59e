"""Images for benchmarks: files about as large as photographs; without Spark."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

DIFFERENT = 64


def jpeg(seed: int, side: int) -> bytes:
    """Return a JPEG of soft blocks with some grain."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((side, side))
    grain = rng.normal(0, 6, (side, side, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def pictures(count: int, side: int) -> list[bytes]:
    """Return `count` files; DIFFERENT ones in turn, which are the same bytes in memory."""
    some = [jpeg(seed, side) for seed in range(min(DIFFERENT, count))]
    return [some[n % len(some)] for n in range(count)]
