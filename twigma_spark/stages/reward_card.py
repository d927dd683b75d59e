"""The model card of a reward model: what it is, what it was trained on, how well it does, what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

from twigma_spark.config.reward import RewardSettings
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

## Training

Loss `{loss}`, at most {epochs} epochs, stopped after {patience} without a lower loss of held-out authors' pairs.
{training}
## Evaluation

Pairs of images of one prompt, of which one is clearly liked more, posted alike; none of their authors and prompts was
trained on ({folds} folds, each held out in turn). {kept}

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


def model_card(settings: RewardSettings, encoder: str, results: Sequence[Result]) -> str:
    """Return the card as Markdown.

    Args:
        settings: how it was trained.
        encoder: id of the encoder.
        results: of the evaluation.
    """
    shown = [r for r in results if r.metric in ("accuracy", "gain", "swapped", "p_value", "trained_on")]
    rows = [f"| {_name(r)} | {_number(r.estimate)} | {_interval(r)} | {r.n:,} {r.unit} | {r.method} |" for r in shown]
    keys = ("loss", "epochs", "patience", "folds")
    own = settings.fine_tune
    head = HEAD.format(
        encoder=encoder,
        tuned=", whose last blocks were trained too" if own.enabled else "",
        training=TUNING.format(blocks=own.blocks, epochs=own.epochs) if own.enabled else "",
        kept=TUNED if own.enabled else HEAD_ALONE,
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
