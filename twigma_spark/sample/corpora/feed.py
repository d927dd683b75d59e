"""The posts corpus while it is being filled: media files, and the posts that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from twigma_spark.sample.corpora.authors import Author, Media, Post, write_text
from twigma_spark.sample.corpora.timeline import post_id
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.ledger import Ledger
from twigma_spark.sample.records import ImageTruth

NAME = "posts"


@dataclass
class PostFeed:
    """Posts and their media files.

    Attributes:
        folder: holds `media/`.
        ledger: where everything is entered.
        authors: who posts.
        posts: what has been posted so far, in no order of time.
        donors: media that nothing has been made from yet, with their source keys.
        serial: how many ids have been given out.
    """

    folder: Path
    ledger: Ledger
    authors: Sequence[Author]
    posts: list[Post] = field(default_factory=list)
    donors: list[tuple[str, Media]] = field(default_factory=list)
    serial: int = 0

    def path(self, media: Media) -> Path:
        """Where the file of a medium lies."""
        return self.folder / "media" / f"{media.key}{media.suffix}"

    def new_media(self, when: datetime, suffix: str, size: tuple[int, int], label: ImageTruth | None) -> Media:
        """A medium under a new key; its file is still to be written."""
        return Media(f"3_{self._new_id(when)}", suffix, size, label)

    def store(self, media: Media, data: bytes) -> Media:
        """The medium, once its file is written."""
        self.path(media).parent.mkdir(parents=True, exist_ok=True)
        self.path(media).write_bytes(data)
        return media

    def post(self, media: Sequence[Media], what: str, when: datetime, dice: Dice) -> list[str]:
        """The source keys of the pictures of a new post."""
        text, lang, tags = write_text(what, when, dice)
        author = dice.choice(self.authors)
        post = Post(self._new_id(when), author, when, text, lang, tags, tuple(media))
        self.posts.append(post)
        keys = [f"{post.post_id}/{item.key}" for item in media]
        for key, item in zip(keys, media, strict=True):
            if item.label is not None:
                self.ledger.image(NAME, key, item.label)
        return keys

    def take(self, dice: Dice) -> tuple[str, Media]:
        """A medium that nothing has been made from yet, and that will not be given again."""
        return self.donors.pop(dice.integer(0, len(self.donors) - 1))

    def _new_id(self, when: datetime) -> str:
        self.serial += 1
        return post_id(when, self.serial)
