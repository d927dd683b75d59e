"""The model card of a reward model: what it is, what it was trained on, how well it does, what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twigma_spark.config.reward import Matching, PairsSettings, RewardSettings
from twigma_spark.estimators.pair_table import PairTable
from twigma_spark.results import Result

HEAD = """\
# Reward model

How much the community that it was trained on likes an image for a prompt. A head of two affine maps on the vectors of
`{encoder}`{tuned}; the score is the cosine of the mapped image and the mapped prompt, from -1 to 1.

```python
from twigma_spark.models.reward import Reward

model = Reward.from_pretrained("THIS FOLDER")
scores = model.score(images=["a.jpg", "b.jpg"], prompts=["a castle at night"])
```

## Data

{data}

## Training

Loss `{loss}`, at most {epochs} epochs, stopped after {patience} without a lower loss of held-out authors' pairs.
{training}
## Evaluation

Pairs of images of one prompt, of which one is clearly liked more, posted alike; none of their authors and prompts was
trained on ({tested} of {folds} parts of the prompts are held out in turn). {kept}

| | estimate | interval | n | method |
|---|---|---|---|---|
"""
HEAD_ALONE = "The model in this folder was trained in the same way on all but one fold."
TUNED = "The model in this folder is the fine-tuned one, trained on all but two folds and tested on one of them."
TUNING = """\
Then head and encoder together: the last {blocks} blocks of both towers and their projections, at most {epochs} epochs.
Only what was trained is in this folder; the rest is loaded from where the encoder lies.
"""
TAIL = """
## Intended use, and limits

- To rank images made for one prompt. Scores of different prompts are not to be compared.
- It has learnt what one community liked at one time, as far as likes show it. Matching on followers, time and NSFW
  takes out what is known to move likes; what is not known, such as who was shown a post, stays in.
- It says nothing of quality, truth, safety or consent, and must not rank people or their work for decisions on them.
- Terms of the source apply to the model too: those of X forbid training foundation models on its content.
"""


def describe_data(settings: PairsSettings, table: PairTable, corpora: Sequence[str], version: str) -> str:
    """Return of what, how many and which pairs the model was trained and tested.

    Args:
        settings: how pairs were made.
        table: the pairs.
        corpora: that the images are of.
        version: of the table `pairs`.
    """
    of, count = settings.popularity.removesuffix("_count") + " count", f"{len(table):,} pairs"
    images, authors, prompts = (len(np.unique(codes)) for codes in (table.images, table.authors, table.prompt))
    lines = [
        f"{count} ({int(table.matched.sum()):,} matched) of {images:,} images by {authors:,} authors for {prompts:,} "
        f"{'prompts or groups of near ones' if settings.prompts == 'nearest' else 'prompts'}; corpora "
        f"{', '.join(corpora)}; table `pairs`, version {version}.",
        f"The preferred image of a pair has a {of} of {settings.minimum} or more, and {settings.ratio:g} times that of "
        f"the other image or more. The two of a matched pair are alike in {_matching(settings.match)}.",
    ]
    if settings.files:
        lines.append(f"Judgements of people are pairs too: {', '.join(file.format for file in settings.files)}.")
    return "\n".join(lines)


def _matching(match: Matching) -> str:
    matching = {
        "author or band of followers": match.followers,
        f"time ({match.days} days at most)": match.days,
        f"hour of the day ({match.hours} at most)": match.hours,
        f"cluster of {match.clustering}": match.clustering,
        "NSFW or not": match.nsfw,
    }
    return ", ".join(name for name, wanted in matching.items() if wanted) or "nothing"


def model_card(settings: RewardSettings, encoder: str, data: str, results: Sequence[Result]) -> str:
    """Return the card as Markdown.

    Args:
        settings: how it was trained.
        encoder: id of the encoder.
        data: what it was trained on, from `describe_data`.
        results: of the evaluation.
    """
    shown = [r for r in results if r.metric in ("accuracy", "gain", "swapped", "p_value", "trained_on")]
    rows = [f"| {_name(r)} | {_number(r.estimate)} | {_interval(r)} | {r.n:,} {r.unit} | {r.method} |" for r in shown]
    keys = ("loss", "epochs", "patience", "folds")
    own = settings.fine_tune
    head = HEAD.format(
        encoder=encoder,
        data=data,
        tuned=", whose last blocks were trained too" if own.enabled else "",
        training=TUNING.format(blocks=own.blocks, epochs=own.epochs) if own.enabled else "",
        kept=TUNED if own.enabled else HEAD_ALONE,
        tested=settings.tested or settings.folds,
        **{key: getattr(settings, key) for key in keys},
    )
    return head + "\n".join(rows) + "\n" + TAIL


def _name(result: Result) -> str:
    words = {"gain": "accuracy more than", "swapped": "accuracy with other images", "p_value": "p-value"}
    return f"{words.get(result.metric, result.metric.replace('_', ' '))} {result.labels.get('scorer', '')}".strip()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _interval(result: Result) -> str:
    return "–" if result.low is None or result.high is None else f"[{result.low:.3g}, {result.high:.3g}]"
