"""Made-up results for the page of report_demo on pairs and the reward model."""

from __future__ import annotations

from collections.abc import Iterator

from report_demo_quality import of

from twigma_spark.results import Result

ACCURACIES = {
    "reward": 0.72, "reward without matching": 0.66, "reward without NSFW": 0.71, "CLIP score": 0.55,
    "followers and hour": 0.52, "pickscore": 0.6, "random": 0.5,
}  # fmt: skip


def reward() -> Iterator[Result]:
    """Yield how many pairs there are, and how well the reward model does."""
    counts = {
        "images": 730, "images_not_drawn": 35, "prompts": 182, "compared": 1100, "clear": 786, "pairs_not_drawn": 9,
        "matched": 245, "judged": 12, "joined": 40,
    }  # fmt: skip
    for name, n in counts.items():
        yield of("pairs", name, float(n), None, n)
    for scorer, accuracy in ACCURACIES.items():
        yield of("reward", "accuracy", accuracy, 0.06, scorer=scorer)
        if scorer != "reward":
            yield of("reward", "gain", 0.72 - accuracy, 0.04, scorer=scorer)
    for scorer, tau in {"reward": 0.29, "CLIP score": 0.03, "pickscore": 0.1}.items():
        yield of("reward", "tau", tau, 0.08, scorer=scorer)
    for scorer, share in {"reward": 0.52, "reward without matching": 0.66}.items():
        yield of("reward", "prefers_followers", share, 0.05, scorer=scorer)
        yield of("reward", "trained_on", 173.0, None, scorer=scorer)
    yield of("reward", "prefers_followers_gain", 0.14, 0.05)
    yield of("reward", "swapped", 0.5, 0.01)
    yield of("reward", "p_value", 0.0001, None)
    yield of("reward", "without_vectors", 3.0, None)
    for source, n in {"prompt": 700, "human caption": 300}.items():
        yield of("reward", "scored", float(n), None, n, source=source)
    for level in ("below 2 times", "2 to 4 times", "10 times and more"):
        yield of("reward", "accuracy_within", 0.7, 0.1, by="likes ratio", level=level)
    for number in range(1, 6):
        yield of("reward", "stated_accuracy", 0.5 + 0.09 * number, None, bin=number)
        yield of("reward", "seen_accuracy", 0.5 + 0.08 * number, 0.1, bin=number)
    for epoch in range(8):
        for part in ("training", "held out"):
            method = "these weights were kept" if epoch == 5 else "mean loss"
            yield of("reward", "loss", 0.3 / (epoch + 1), None, epoch=epoch, part=part).with_value(method=method)
