"""The drawn world's pictures with likes that they do not bring about: whether a trained model stays at a half."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import functions as F

from tests.bench.records import Record, keep
from tests.tuning import ENCODER
from twigma_spark.estimators.pair_table import PairTable
from twigma_spark.estimators.reward import HeadTrainer
from twigma_spark.estimators.reward_folds import MATCHED, cross_validate
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.session import open_session
from twigma_spark.models.clip import ClipText
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.results import Value
from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.community import Traits, count_members, post_row
from twigma_spark.sample.corpora.diffusion import draw_diffusion
from twigma_spark.sample.dice import stream
from twigma_spark.sample.ledger import Ledger
from twigma_spark.stats.reward import Resampling, hits, mean_value
from twigma_spark.transforms import preferences
from twigma_spark.transforms.preferences import PairRule

# As many as those of the demo's world. Draws of all likes without the taste, and with it.
IMAGES, DRAWS, TASTED = 750, 20, 3
FOLDS, SEED = 10, 7
SPEC = TrainingSpec(epochs=10, patience=10)
RULE = PairRule(ratio=1.5)
POSTS = "corpus STRING, prompt INT, image INT, author_id STRING, followers BIGINT, likes BIGINT, posted STRING"
MINED = ("prompt_key", "preferred_image_id", "other_image_id", "preferred_author_id", "other_author_id")
Rows = NDArray[np.int64]


def main() -> None:
    """Write build/bench/reward.json."""
    with tempfile.TemporaryDirectory(prefix="twigma-bench-") as scratch:
        for record in taste(Path(scratch)):
            keep("reward", "taste", record)


def taste(folder: Path) -> Iterator[Record]:
    """Yield how many intervals cover a half where no picture is liked for what it shows, and that of the taste."""
    ledger = Ledger()
    album = draw_diffusion(folder, IMAGES, SEED, ledger)
    texts = sorted({str(row["prompt"]) for row in album.rows if row.get("prompt")})
    images = ENCODER.setup()([album.path(each.source_key).read_bytes() for each in ledger.tastes])
    mined = _mine(album, ledger, texts)
    trainer = HeadTrainer(images, ClipText(ENCODER.source).setup()(texts), SPEC)
    found = [_accuracy(trainer, mined[mined["draw"] == draw], draw) for draw in range(DRAWS + TASTED)]
    for draw, value in enumerate(found):
        print(f"draw {draw}: {value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}] of {value.n}", flush=True)
    without, tasted = found[:DRAWS], found[DRAWS:]
    n = sum(value.low <= 0.5 <= value.high for value in without)  # type: ignore[operator]
    mean = float(np.mean([value.estimate for value in without]))
    notes = f"mean accuracy {mean:.3f} of {len(ledger.tastes)} pictures; fewer have probability 0.003 at 95%"
    name = f"intervals of the accuracy that cover a half, of {DRAWS} draws of likes without the taste"
    yield Record(name, n, "draws", target=">= 16", holds=n >= 16, notes=notes)
    least = min(float(value.low or 0) for value in tasted)
    name = f"lowest end of an interval of the accuracy, of {TASTED} draws of likes with the taste"
    notes = f"mean accuracy {np.mean([value.estimate for value in tasted]):.3f}"
    yield Record(name, least, "share", target="> 0.5", holds=least > 0.5, notes=notes)


def _mine(album: Album, ledger: Ledger, texts: list[str]) -> pd.DataFrame:
    """Return draw and `MINED` of the matched pairs of all draws; images and prompts are numbers.

    Followers and the hour bring likes, and authors with many followers post warm pictures, as in the world; bright
    pictures are liked in the last draws only.
    """
    rows = {str(row["file"]): row for row in album.rows}
    posts = []
    for draw in range(DRAWS + TASTED):
        for place, each in enumerate(ledger.tastes):
            own = rows[each.source_key]
            traits = Traits(each.brightness if draw >= DRAWS else 0.0, each.warmth)
            asked = datetime.fromisoformat(str(own["created_at"]))
            post = post_row(traits, asked, count_members(IMAGES), stream(draw, "taste", place))
            posted = (post[name] for name in ("author_id", "author_followers", "like_count", "created_at"))
            posts.append((f"{draw}", texts.index(str(own["prompt"])), place, *posted))
    session, _ = open_session("bench", master="local[2]")
    named = {"image_id": "image", "prompt_key": "prompt", "split_key": "prompt", "text_id": "prompt"}
    frame = local_frame(session, posts, POSTS).withColumns({
        **{name: F.col(of) for name, of in named.items()},
        "created_at": F.to_timestamp("posted"), "cluster": F.lit(0), "nsfw": F.lit(False),
    })  # fmt: skip
    pairs = preferences.mine_pairs(preferences.compared_images(frame, RULE), RULE).where("matched")
    authors = [f"{side}_author_id" for side in ("preferred", "other")]
    numbers = {name: F.substring(name, 2, 9).cast("int") for name in authors}  # u000123
    mined = pairs.withColumns(numbers).select(F.col("corpus").cast("int").alias("draw"), *MINED).toPandas()
    session.stop()
    return mined.sort_values(["draw", *MINED])


def _accuracy(trainer: HeadTrainer, mined: pd.DataFrame, seed: int) -> Value:
    """Return the accuracy of the held-out pairs of a draw, with its interval."""
    rows: Rows = mined[[*MINED]].to_numpy(np.int64)
    prompt, images, authors = rows[:, 0], rows[:, 1:3], rows[:, 3:5]
    fold = np.random.default_rng((seed, 1)).integers(0, FOLDS, prompt.max() + 1)[prompt]
    every, none = np.ones(len(rows), bool), np.zeros(len(rows), bool)
    cluster, engagement = np.zeros(len(rows), np.int64), np.zeros((len(rows), 1))
    table = PairTable(prompt, images, prompt, fold, authors, cluster, every, none, engagement)
    held = cross_validate(replace(trainer, spec=replace(SPEC, seed=seed)), table, FOLDS, range(FOLDS))
    how = Resampling(1000, 0.95, np.random.default_rng(seed))
    return mean_value(hits(held.margins[MATCHED]), prompt[held.rows], how, "accuracy")


if __name__ == "__main__":
    main()
