"""Candidates for further hashtags, as `twigma expand-hashtags` and the report show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.stages.stage import Frames
from twigma_spark.stats.intervals import wilson
from twigma_spark.stats.lift import lift
from twigma_spark.transforms import hashtags as transforms

COLUMNS = ("hashtag", "posts", "together", "authors", "lift", "lift_low", "lift_high", "judged", "accepted",
           "precision", "precision_low", "precision_high")  # fmt: skip


@dataclass(frozen=True)
class Tagged:
    """The posts that have hashtags.

    Attributes:
        posts: rows of the table `posts` with current (whether they have one of the current hashtags) and accepted.
        current: the current hashtags, as in the posts.
        total: how many posts there are.
        with_current: of these, how many have a current hashtag.
    """

    posts: DataFrame
    current: list[str]
    total: int
    with_current: int

    @property
    def tells(self) -> bool:
        """Return whether a lift says something: some posts have a current hashtag, and some have none."""
        return 0 < self.with_current < self.total


def tagged_posts(cfg: Config, tables: Frames, hashtags: Sequence[str]) -> Tagged:
    """Return the posts of the corpora under study that have hashtags.

    Args:
        cfg: `models.real` names the score by which an image is accepted, where it is set.
        tables: posts, images, scores.
        hashtags: the current ones.
    """
    current = sorted({name.lower().removeprefix("#") for name in hashtags})
    posts = tables["posts"].where(F.col("corpus").isin(cfg.of_role("posts")) & F.col("hashtags").isNotNull())
    real = cfg.models.real
    if real is None:
        posts = posts.withColumn("accepted", F.lit(None).cast("boolean"))
    else:
        judged = transforms.judge_posts(tables["images"], tables["scores"], real.score, real.above)
        posts = posts.join(judged, "post_id", "left")
    posts = transforms.mark_current(posts, current)
    total, with_current = posts.agg(F.count("*"), F.count_if("current")).collect()[0]
    return Tagged(posts, current, total, with_current)


def candidates(tagged: Tagged, fewest: int) -> pd.DataFrame:
    """Return the candidates (COLUMNS), those first whose lift is at least the highest, then by name.

    The lift comes with the interval of 95% (`stats.lift`), the share of judged posts that are accepted with Wilson's.

    Args:
        tagged: posts of which some have a current hashtag.
        fewest: posts that a candidate needs together with a current one.
    """
    rows = transforms.count_candidates(tagged.posts, tagged.current, fewest).toPandas()
    lifts = lift(rows["together"], rows["posts"], tagged.with_current, tagged.total)
    rows["lift"], rows["lift_low"], rows["lift_high"] = lifts
    precision = wilson(rows["accepted"], rows["judged"])
    rows["precision"], rows["precision_low"], rows["precision_high"] = precision
    return rows.sort_values(["lift_low", "hashtag"], ascending=[False, True], ignore_index=True)[list(COLUMNS)]
