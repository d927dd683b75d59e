"""Training of the sample's tiny models: a CLIP, a captioner and a linear head, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twigma_spark.models import tiny
from twigma_spark.models.base import Floats

_SHIFT = 4
# A fixed, low sharpness for the short texts: the sharper that CLIP learns for whole captions is content with
# small angles, and then clusters follow colours instead of themes.
_SHORT_SHARPNESS = 5.0
_SHARPEST = float(np.log(100.0))


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures and what is said of them.

    Attributes:
        pixels: (n, 3, 64, 64) uint8.
        captions: One for each picture.
        themes: A word or two for what each shows; many pictures share one.
        media: A word or two for how each is made.
    """

    pixels: npt.NDArray[np.uint8]
    captions: tuple[str, ...]
    themes: tuple[str, ...]
    media: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW with a one-cycle rate.

    Attributes:
        seed: Decides weights, order and changes of the pictures.
        steps: Batches seen.
        batch: Pictures in one.
        rate: The highest learning rate.
    """

    seed: int
    steps: int
    batch: int = 64
    rate: float = 2e-3


def train_clip(examples: Examples, words: Sequence[str], recipe: Recipe, folder: Path) -> None:
    """Train a tiny CLIP and write it to `folder`.

    The loss is CLIP's (Radford et al. 2021, figure 3), for captions and looser texts by turns, and that of
    naming theme and medium among all themes and media.

    Args:
        examples: What to learn from.
        words: The vocabulary.
        recipe: How.
        folder: Where `ClipSource(path=...)` will find it.
    """
    import torch

    tiny.save_tokenizer(folder, words)
    config = tiny.clip_config(len(words))
    model = tiny.new_clip(config, recipe.seed)
    captions = _tokens(folder, examples.captions)[0]
    looser = _tokens(folder, _vary_captions(examples.captions, recipe.seed))[0]
    themes, media = _Labels(folder, examples.themes), _Labels(folder, examples.media)

    def loss(rows: Any, pixels: Any, dice: Any) -> Any:
        images = model.encode_image(pixels, normalize=True)
        keep = torch.rand(len(rows), 1, generator=dice) < 0.6
        texts = model.encode_text(torch.where(keep, captions[rows], looser[rows]), normalize=True)
        model.logit_scale.data.clamp_(0, _SHARPEST)
        whole = _contrast(model.logit_scale.exp() * images @ texts.T)
        return whole + themes.loss(model, images, rows) + 0.3 * media.loss(model, images, rows)

    _fit(model, examples.pixels, loss, recipe)
    tiny.save_clip(model, config, words, folder)


def train_captioner(examples: Examples, words: Sequence[str], recipe: Recipe, folder: Path) -> None:
    """Train a tiny BLIP to write the captions, and write it to `folder`.

    Args:
        examples: What to learn from; the pictures squashed to a square, as BLIP wants them.
        words: The vocabulary.
        recipe: How.
        folder: Where `BlipCaptioner(name=...)` will find it.
    """
    tiny.save_tokenizer(folder, words)
    model = tiny.new_blip(tiny.blip_config(len(words)), recipe.seed)
    tokens, mask = _tokens(folder, examples.captions)
    tokens[:, 0] = model.config.text_config.bos_token_id
    labels = tokens.masked_fill(mask == 0, -100)

    longest = int(mask.sum(dim=1).max())  # nothing is learnt from columns of padding
    tokens, mask, labels = tokens[:, :longest], mask[:, :longest], labels[:, :longest]

    def loss(rows: Any, pixels: Any, dice: Any) -> Any:
        shown = {"pixel_values": pixels, "input_ids": tokens[rows], "attention_mask": mask[rows]}
        return model(**shown, labels=labels[rows]).loss

    _fit(model, examples.pixels, loss, recipe)
    tiny.save_blip(model, words, folder)


def fit_logistic(vectors: Floats, labels: npt.NDArray[np.bool_], ridge: float = 1e-3) -> tuple[Floats, float]:
    """Return weight (dim,) and bias of a logistic regression, by Newton's method.

    Args:
        vectors: (n, dim).
        labels: (n,).
        ridge: Penalty on the squared weights, in units of one row's loss.
    """
    rows = np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])
    penalty = np.full(rows.shape[1], ridge * len(rows))
    penalty[-1] = 1e-9  # the bias is free
    weights = np.zeros(rows.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chance - labels) + penalty * weights
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return weights[:-1].astype(np.float32), float(weights[-1])


class _Labels:
    """Short texts, each shared by many pictures, as classes whose weights are the text tower's vectors."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        import torch

        names = sorted(set(texts))
        self._tokens = _tokens(folder, names)[0]
        self._class = torch.tensor([names.index(text) for text in texts])

    def loss(self, model: Any, images: Any, rows: Any) -> Any:
        from torch.nn.functional import cross_entropy

        texts = model.encode_text(self._tokens, normalize=True)
        return cross_entropy(_SHORT_SHARPNESS * images @ texts.T, self._class[rows])


def _contrast(scores: Any) -> Any:
    """Return CLIP's loss for (n, n) scores: each image finds its text and each text its image."""
    import torch
    from torch.nn.functional import cross_entropy

    own = torch.arange(len(scores))
    return (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2


def _fit(model: Any, pixels: Any, loss: Callable[[Any, Any, Any], Any], recipe: Recipe) -> None:
    """Train `model` in place; `loss` is given row numbers, normalised pixels and a random generator."""
    import torch

    dice = torch.Generator().manual_seed(recipe.seed)
    images = torch.from_numpy(pixels)
    groups = [
        {"params": [each for each in model.parameters() if each.ndim > 1], "weight_decay": 0.1},
        {"params": [each for each in model.parameters() if each.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser: Any = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98))
    cycle: Any = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps, pct_start=0.1)
    model.train()
    for rows in _batches(len(images), recipe, dice):
        optimiser.zero_grad()
        loss(rows, _augment(images[rows], dice), dice).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        cycle.step()
    model.eval()


def _batches(count: int, recipe: Recipe, dice: Any) -> Iterator[Any]:
    """Yield row numbers: every picture once before any comes again; a last part of a batch is left out."""
    import torch

    done = 0
    while done < recipe.steps:
        order = torch.randperm(count, generator=dice)
        for at in range(0, max(1, count - recipe.batch + 1), recipe.batch):
            if done < recipe.steps:
                yield order[at : at + recipe.batch]
                done += 1


def _augment(images: Any, dice: Any) -> Any:
    """Return the pictures normalised, all shifted by a few pixels and, half of the time, mirrored."""
    import torch
    from torch.nn.functional import pad

    wide = pad(images.float(), (_SHIFT,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * _SHIFT + 1, (2,), generator=dice).tolist()
    moved = wide[:, :, top : top + images.shape[2], left : left + images.shape[3]]
    if torch.rand(1, generator=dice) < 0.5:
        moved = moved.flip(3)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (tiny.MEAN, tiny.STD))
    return (moved / 255 - mean) / std


def _tokens(folder: Path, texts: Sequence[str]) -> tuple[Any, Any]:
    """Return token ids and mask, (n, context length) each, by the tokenizer that the loaders will use."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    length = tiny.CONTEXT_LENGTH
    coded = tokenizer(list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return coded.input_ids, coded.attention_mask


def _vary_captions(captions: Sequence[str], seed: int) -> list[str]:
    """Return captions as people write: without the medium, cut short, with words that no vocabulary has."""
    dice = random.Random(seed)
    return [_vary_caption(caption, dice) for caption in captions]


def _vary_caption(caption: str, dice: random.Random) -> str:
    words = (caption.partition(" of ")[2] or caption).split() if dice.random() < 0.6 else caption.split()
    if dice.random() < 0.4:
        words = words[: dice.randint(min(3, len(words)), len(words))]
    strange = ["zzz"] * dice.randint(0, 8)
    return " ".join(words) + (", " + " ".join(strange) if strange else "")
