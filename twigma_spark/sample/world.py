"""The sample world: four small corpora drawn by our own code, with a list of everything planted in them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from twigma_spark.errors import ConfigError
from twigma_spark.io.known_copies import KnownCopy, format_known_copies
from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.art import draw_art
from twigma_spark.sample.corpora.community import MODEL
from twigma_spark.sample.corpora.diffusion import draw_diffusion
from twigma_spark.sample.corpora.likes import LIKES
from twigma_spark.sample.corpora.photo import draw_photos
from twigma_spark.sample.corpora.posts import draw_posts
from twigma_spark.sample.corpora.timeline import trends
from twigma_spark.sample.ledger import Ledger
from twigma_spark.sample.records import KlOrder, Truth
from twigma_spark.sample.scenes import Scene, iter_scenes

__all__ = ["Scene", "draw_world", "iter_scenes", "world_is_current"]

FORMAT = 3
SMALLEST = 80
TRUTH = "truth.json"
IMAGES = "truth_images.jsonl"
COPIES = "known_copies.csv"
_SHARES = {"posts": 0.45, "diffusion": 0.25, "photo": 0.15, "art": 0.15}


def draw_world(out: Path, size: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Path:
    """The path of truth.json of a world newly written under `out`; the same bytes for the same size and seed.

    An older world under `out` is replaced; `out` never holds half a world.

    Args:
        out: the folder to write; missing, empty, or a sample world.
        size: about how many usable images the four corpora hold together, 80 or more.
        seed: decides everything that is drawn, 0 or more.
        progress: called with images done and images to do.

    Raises:
        ConfigError: if size or seed is too small, or `out` holds something else.
    """
    _check(out, size, seed)
    with _written_whole(out) as folder:
        done = iter(range(1, 1_000_000_000))
        ledger = Ledger(lambda: progress(min(next(done), size), size) if progress else None)
        counts = {name: round(size * share) for name, share in _SHARES.items()}
        # Spawned, since a fork would copy the threads of a Spark session.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            references = pool.submit(_draw_references, folder, counts, seed)
            diffusion = pool.submit(_draw_diffusion, folder / "diffusion", counts["diffusion"], seed)
            posts = Ledger(ledger.tick)
            draw_posts(folder / "posts", counts["posts"], seed, posts, lambda: references.result()[1])
            ledger.append(references.result()[0])
            ledger.append(diffusion.result())
        ledger.append(posts)
        _write_truth(folder, ledger, size, seed)
    return out / TRUTH


def _draw_references(folder: Path, counts: Mapping[str, int], seed: int) -> tuple[Ledger, list[Album]]:
    """The corpora that posts copy from, with what is entered of them."""
    ledger = Ledger()
    photos = draw_photos(folder / "photo", counts["photo"], seed, ledger)
    return ledger, [photos, draw_art(folder / "art", counts["art"], seed, ledger)]


def _draw_diffusion(folder: Path, count: int, seed: int) -> Ledger:
    ledger = Ledger()
    draw_diffusion(folder, count, seed, ledger)
    return ledger


def world_is_current(out: Path, size: int, seed: int) -> bool:
    """Whether `out` holds a whole world of this size, seed and format, so that drawing it can be skipped."""
    try:
        truth = json.loads((out / TRUTH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"format": FORMAT, "size": size, "seed": seed}
    return isinstance(truth, dict) and all(truth.get(key) == value for key, value in wanted.items())


def _check(out: Path, size: int, seed: int) -> None:
    if size < SMALLEST:
        raise ConfigError(f"size must be {SMALLEST} images or more. Got {size!r}.")
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more. Got {seed!r}.")
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or _is_world(out))):
        raise ConfigError(f"out must be a new folder, an empty one, or a sample world to replace. Got {str(out)!r}.")


def _is_world(out: Path) -> bool:
    return (out / TRUTH).is_file() and (out / IMAGES).is_file()


@contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    """A new sibling of `out` to write in, which takes its place once all is well, and else disappears."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder, old = Path(scratch) / "new", Path(scratch) / "old"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rename(old)
        folder.rename(out)


def _write_truth(folder: Path, ledger: Ledger, size: int, seed: int) -> None:
    truth = Truth(
        format=FORMAT,
        size=size,
        seed=seed,
        corpora=ledger.accounts(),
        byte_duplicates=tuple(ledger.byte_duplicates),
        shared_media=tuple(ledger.shared_media),
        near_duplicates=tuple(ledger.near_duplicates),
        reference_copies=tuple(ledger.reference_copies),
        broken=tuple(ledger.broken),
        metadata_faults=tuple(ledger.metadata_faults),
        kl_order=KlOrder.model_validate(
            {"from": "posts", "nearest_first": ("diffusion",), "then_any_order": ("photo", "art")}
        ),
        trends=trends(),
        likes=LIKES,
        posts=tuple(ledger.posts),
        prompts=tuple(ledger.prompts),
        community=MODEL,
        tastes=tuple(ledger.tastes),
    )
    lines = [image.model_dump_json() + "\n" for image in ledger.images]
    (folder / IMAGES).write_text("".join(lines), encoding="utf-8")
    (folder / COPIES).write_text(format_known_copies(_known_copies(ledger)), encoding="utf-8")
    (folder / TRUTH).write_text(truth.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")


def _known_copies(ledger: Ledger) -> Iterator[KnownCopy]:
    """Yield each copy with the one before it that shares its media or bytes, or the image that it was made from."""
    for shared in ledger.shared_media:
        yield from (KnownCopy("posts", key, of, "media") for of, key in pairwise(shared.source_keys))
    for group in ledger.byte_duplicates:
        yield from (KnownCopy(group.corpus, key, of, "bytes") for of, key in pairwise(group.source_keys))
    for near in ledger.near_duplicates:
        yield KnownCopy(near.corpus, near.source_key, near.of, "near")
