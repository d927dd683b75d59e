"""Posts that show again what was there before, and posts whose pictures cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.feed import NAME, PostFeed
from twigma_spark.sample.corpora.oddities import FILES
from twigma_spark.sample.corpora.timeline import draw_time
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.encode import CHANGES, change
from twigma_spark.sample.ledger import label_of
from twigma_spark.sample.records import DuplicateGroup, NearDuplicate, ReferenceCopy, SharedMedia
from twigma_spark.sample.scenes import Scene

_AGAIN = (
    "Still my favourite",
    "Posting this one again",
    "Found on my drive",
    "Colours I keep coming back to",
)


def plant_shared_media(feed: PostFeed, count: int, dice: Dice) -> None:
    """Posts media again under their own media keys, as a quoting post does."""
    for _ in range(count):
        source_key, media = feed.take(dice)
        keys = [source_key]
        for _ in range(1 + dice.chance(0.3)):
            keys += feed.post([media], dice.choice(_AGAIN), draw_time(dice), dice)
        feed.ledger.shared_media.append(SharedMedia(media_key=media.key, source_keys=tuple(keys)))


def plant_byte_copies(feed: PostFeed, groups: int, dice: Dice) -> None:
    """Posts the same bytes again under new media keys."""
    for _ in range(groups):
        source_key, media = feed.take(dice)
        keys = [source_key]
        for _ in range(1 + dice.chance(0.3)):
            when = draw_time(dice)
            copy = feed.new_media(when, media.suffix, media.size, media.label)
            feed.store(copy, feed.path(media).read_bytes())
            keys += feed.post([copy], dice.choice(_AGAIN), when, dice)
        feed.ledger.byte_duplicates.append(DuplicateGroup(corpus=NAME, source_keys=tuple(keys)))


def plant_near_copies(feed: PostFeed, count: int, dice: Dice) -> None:
    """Posts changed copies of earlier media, one kind of change after the other."""
    for index in range(count):
        source_key, media = feed.take(dice)
        kind, when = list(CHANGES)[index % len(CHANGES)], draw_time(dice)
        copy = change(kind, feed.path(media), dice)
        shown = feed.store(feed.new_media(when, copy.suffix, copy.size, media.label), copy.data)
        (key,) = feed.post([shown], dice.choice(_AGAIN), when, dice)
        feed.ledger.near_duplicates.append(NearDuplicate(corpus=NAME, source_key=key, of=source_key, kind=kind))


def plant_reference_copies(feed: PostFeed, albums: Sequence[Album], count: int, dice: Dice) -> None:
    """Posts changed copies of images of the reference corpora, from each in turn."""
    for index in range(count):
        album, kind, when = albums[index % len(albums)], list(CHANGES)[index % len(CHANGES)], draw_time(dice)
        of, row, label = album.take(dice)
        copy = change(kind, album.path(of), dice)
        shown = feed.store(feed.new_media(when, copy.suffix, copy.size, label), copy.data)
        (key,) = feed.post([shown], str(row["title"]), when, dice)
        entry = ReferenceCopy(source_key=key, of_corpus=album.name, of=of, kind=kind)
        feed.ledger.reference_copies.append(entry)


def plant_odd(feed: PostFeed, kind: str, scene: Scene, dice: Dice) -> None:
    """Posts a file of one of the kinds of oddities.FILES."""
    make, suffix, reason = FILES[kind]
    when = draw_time(dice)
    label = label_of(scene) if reason is None else None
    media = feed.store(feed.new_media(when, suffix, scene.image.size, label), make(scene.image))
    (key,) = feed.post([media], "Something went wrong here", when, dice)
    feed.ledger.odd(NAME, key, kind, reason)


def plant_missing(feed: PostFeed, dice: Dice) -> None:
    """Posts a medium whose file was never downloaded."""
    when = draw_time(dice)
    (key,) = feed.post([feed.new_media(when, ".jpg", (128, 128), None)], "Gone by now", when, dice)
    feed.ledger.odd(NAME, key, "missing_file", "missing_file")
