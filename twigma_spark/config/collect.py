"""Which posts are collected from a platform, and what that may cost."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from twigma_spark.config.section import Section, one_of

# Sources by name and the module that holds their `start`; a name and not an import, since config is below them.
SOURCES: Mapping[str, str] = {
    "x": "twigma_spark.io.sources.x",
    "bluesky": "twigma_spark.io.sources.bluesky",
    "mastodon": "twigma_spark.io.sources.mastodon",
}

HASHTAG = r"^\w+$"
Hashtag = Annotated[str, Field(pattern=HASHTAG, max_length=100)]
ADDRESS, STREAM = r"^https?://[^/?#@\s]+$", r"^wss?://[^/?#@\s]+$"


class Prices(Section):
    """What X bills, in dollars."""

    post: float = Field(0.005, ge=0)
    user: float = Field(0.010, ge=0)
    counts: float = Field(0.010, ge=0)


class Collect(Section):
    """The posts that are collected: from where, hashtags, a window of time, and a budget."""

    source: Annotated[str, one_of(SOURCES)] = "x"
    out: str | None = None
    hashtags: tuple[Hashtag, ...] = ()
    also: str = "has:images -is:retweet"
    start: datetime.date | None = None
    end: datetime.date | None = None
    max_posts: int | None = Field(None, ge=10)
    max_dollars: float | None = Field(None, gt=0)
    prices: Prices = Prices()
    api: str | None = Field(None, pattern=ADDRESS)
    stream: str | None = Field(None, pattern=STREAM)
    instances: tuple[Annotated[str, Field(pattern=ADDRESS)], ...] = ()

    @model_validator(mode="after")
    def _window_is_one(self) -> Collect:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"collect.start must be before collect.end. Got {self.start} and {self.end}.")
        return self

    @model_validator(mode="after")
    def _secrets_are_encrypted(self) -> Collect:
        if self.api is not None and not re.match(r"https://|http://(127\.0\.0\.1|localhost)(:|$)", self.api):
            raise ValueError(f"collect.api must begin with https://, since a secret is sent there. Got {self.api!r}.")
        return self
