"""The paper's way from posts to distinct images: how many are left after each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twigma_spark.results import Result, Value

ANALYSIS = "funnel"
# What each step leaves, in the paper's order; the last two tell apart what the paper has as one, or has not.
STEPS = {
    "posts": "posts",
    "photos": "photos attached to them",
    "images": "images that could be read and embedded",
    "media": "images of distinct media ids",
    "identical": "of these, images of distinct embeddings",
    "near": "of these, images that are no near-duplicates",
}
# The duplicates that a step takes away, by tier; equal bytes have equal embeddings.
TAKEN = {"media": ("media",), "identical": ("bytes", "embedding"), "near": ("near",)}


def funnel_results(corpus: str, seen: Mapping[tuple[str, str], int], decimals: int | None) -> Iterator[Result]:
    """Yield what is left of a corpus of posts after each step, from posts to images without near-duplicates.

    Args:
        corpus: of posts.
        seen: counts by corpus and by posts, photos, images or a tier of duplicates.
        decimals: to which two embeddings must agree; None for all bits.

    Source: Chen & Zou 2023 (TWIGMA), section 3: media ids, then identical CLIP embeddings.
    """
    rule = "in all bits" if decimals is None else f"to {decimals} decimals"
    left = seen.get((corpus, "images"), 0)
    for step, words in STEPS.items():
        if step in TAKEN:
            left -= sum(seen.get((corpus, tier), 0) for tier in TAKEN[step])
        n = left if step in TAKEN else seen.get((corpus, step), 0)
        method = f"{words}{f' (equal {rule})' if step == 'identical' else ''}; complete count, no interval"
        unit = step if step in ("posts", "photos") else "images"
        yield Result.of(ANALYSIS, "left", Value(float(n), None, None, n, unit, method), corpus=corpus, step=step)
