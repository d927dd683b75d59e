"""The posts corpus: AI-like pictures posted on a social network over 27 months."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from twigma_spark.sample.captions import describe
from twigma_spark.sample.corpora import reposts
from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.authors import Media, Post, draw_author
from twigma_spark.sample.corpora.feed import NAME, PostFeed
from twigma_spark.sample.corpora.likes import LIKES, draw_likes
from twigma_spark.sample.corpora.pages import post_json, split_pages, write_pages
from twigma_spark.sample.corpora.timeline import draw_theme, draw_time
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.encode import encode
from twigma_spark.sample.ledger import Ledger, label_of
from twigma_spark.sample.records import MetadataFault, PostTruth
from twigma_spark.sample.scenes import draw_mixed, draw_scene
from twigma_spark.sample.themes import THEMES

_ODD = ("truncated_jpeg", "zero_bytes", "page_named_jpg", "pixel_bomb", "palette_png")
_SENSITIVE = "figure"


def draw_posts(folder: Path, count: int, seed: int, ledger: Ledger, references: Callable[[], Sequence[Album]]) -> None:
    """Writes the corpus under `folder`, with about `count` usable images; some copy the references, asked for last."""
    dice = Dice(stream(seed, NAME))
    authors = [draw_author(serial, dice) for serial in range(max(12, count // 8))]
    feed = PostFeed(folder, ledger, authors)
    shared, groups, near, copies = (
        max(2, count // 90),
        max(1, count // 90),
        max(4, count // 45),
        max(2, count // 50),
    )
    base, serial = count - shared - groups - near - copies - 3, 0
    while len(feed.donors) < base:
        _post_set(feed, Dice(stream(seed, NAME, serial)))
        serial += 1
    reposts.plant_shared_media(feed, shared, dice)
    reposts.plant_byte_copies(feed, groups, dice)
    reposts.plant_near_copies(feed, near, dice)
    reposts.plant_reference_copies(feed, references(), copies, dice)
    for kind in _ODD:
        scene = draw_scene(draw_mixed(THEMES[draw_theme(draw_time(dice), dice)], 0.0, dice), dice)
        reposts.plant_odd(feed, kind, scene, dice)
    reposts.plant_missing(feed, dice)
    _write(feed, seed)


@dataclass(frozen=True)
class _Set:
    """What the pictures of one post have in common."""

    when: datetime
    theme: str
    mix: float
    suffix: str


def _post_set(feed: PostFeed, dice: Dice) -> None:
    """Posts one to four pictures of a theme; a twentieth of the sets hold a sensitive one."""
    when = draw_time(dice)
    sensitive, natural = dice.chance(0.06), dice.chance(0.25)
    mix = 0.5 + 0.45 * dice.unit() if natural else 0.4 * dice.unit() ** 1.5
    pictures = _Set(when, draw_theme(when, dice), mix, dice.weighted((".jpg", ".png", ".webp"), (7, 2, 1)))
    media, what = [], ""
    for place in range(dice.weighted((1, 2, 3, 4), (11, 4, 2, 3))):
        hidden = sensitive and (place == 0 or dice.chance(0.3))
        item, phrase = _picture(feed, pictures, hidden, dice)
        media.append(item)
        what = what or phrase
    feed.donors.extend(zip(feed.post(media, what, when, dice), media, strict=True))


def _picture(feed: PostFeed, pictures: _Set, hidden: bool, dice: Dice) -> tuple[Media, str]:
    """A stored picture of the set, and the phrase for what it shows."""
    theme = THEMES[_SENSITIVE if hidden else pictures.theme]
    mix = min(1.0, max(0.0, pictures.mix + dice.uniform(-0.05, 0.05)))
    spec = draw_mixed(theme, mix, dice)
    scene = draw_scene(spec, dice)
    media = feed.new_media(pictures.when, pictures.suffix, spec.size, label_of(scene))
    return feed.store(media, encode(scene.image, pictures.suffix)), describe(theme, spec.traits, spec.traits)


def _write(feed: PostFeed, seed: int) -> None:
    """Draws the likes, enters what they were drawn from, and writes the pages."""
    pages = split_pages(feed.posts)
    posts = [post for page in pages for post in page]
    bands, mixes = [post.author.band for post in posts], [post.style_mix for post in posts]
    likes = iter(draw_likes(LIKES, bands, mixes, stream(seed, "likes")).tolist())
    dice = Dice(stream(seed, "clients"))
    records = [[post_json(post, next(likes), dice) for post in page] for page in pages]
    feed.ledger.posts.extend(_truth(post) for post in posts if post.usable)
    _plant_collected_twice(feed, pages, records)
    _plant_without_id(feed, records)
    write_pages(feed.folder, pages, records)


def _truth(post: Post) -> PostTruth:
    return PostTruth(
        post_id=post.post_id,
        theme=post.usable[0].theme,
        band=post.author.band,
        style_mix=round(post.style_mix, 6),
    )


def _plant_collected_twice(feed: PostFeed, pages: list[list[Post]], records: list[list[dict[str, Any]]]) -> None:
    """The last post of the first page comes again on the second, as when pages overlap."""
    again = pages[0][-1]
    pages[1].insert(0, again)
    records[1].insert(0, records[0][-1])
    feed.ledger.odd(NAME, again.post_id, "collected_twice", "duplicate_key", unit="post")


def _plant_without_id(feed: PostFeed, records: list[list[dict[str, Any]]]) -> None:
    """The last record of the last page has lost its id and its media."""
    lost = {key: value for key, value in records[-1][-1].items() if key not in ("id", "attachments")}
    records[-1].append(lost)
    fault = MetadataFault(
        corpus=NAME,
        where=f"posts-{len(records) - 1:03d}.json:data[{len(records[-1]) - 1}]",
        kind="post_without_id",
        usable=False,
        reason="post_without_id",
    )
    feed.ledger.metadata_faults.append(fault)
