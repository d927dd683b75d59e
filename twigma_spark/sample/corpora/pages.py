"""Posts as pages of the X API v2 search: data, includes and meta."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twigma_spark.sample.corpora.authors import Media, Post
from twigma_spark.sample.dice import Dice

_PAGE = 100
_CLIENTS = ("Twitter Web App", "Twitter for iPhone", "Twitter for Android")


def split_pages(posts: Sequence[Post]) -> list[list[Post]]:
    """Posts in pages, newest first; at least three pages where there are enough posts."""
    newest = sorted(posts, key=lambda post: int(post.post_id), reverse=True)
    size = min(_PAGE, max(1, math.ceil(len(newest) / 3)))
    return [newest[start : start + size] for start in range(0, len(newest), size)]


def post_json(post: Post, likes: int, dice: Dice) -> dict[str, Any]:
    """A post as the API gives it; shares and answers follow the likes."""
    return {
        "id": post.post_id,
        "text": post.text,
        "created_at": post.when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "author_id": post.author.author_id,
        "lang": post.lang,
        "possibly_sensitive": post.sensitive,
        "public_metrics": {
            "retweet_count": int(likes * dice.uniform(0.05, 0.3)),
            "reply_count": int(likes * dice.uniform(0.0, 0.12)),
            "like_count": likes,
            "quote_count": int(likes * dice.uniform(0.0, 0.05)),
        },
        "attachments": {"media_keys": [media.key for media in post.media]},
        "entities": {"hashtags": _tags(post)},
        "source": dice.choice(_CLIENTS),
    }


def write_pages(folder: Path, pages: Sequence[Sequence[Post]], records: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Writes posts-000.json and so on; `records` holds the data of each page, `pages` what they refer to."""
    for number, (posts, data) in enumerate(zip(pages, records, strict=True)):
        meta: dict[str, Any] = {"result_count": len(data)}
        if number + 1 < len(pages):
            meta["next_token"] = f"b26v89c19zqg8o3f{number + 1:06d}"
        body = {"data": data, "includes": _includes(posts), "meta": meta}
        text = json.dumps(body, ensure_ascii=False, indent=1)
        (folder / f"posts-{number:03d}.json").write_text(text, encoding="utf-8")


def _tags(post: Post) -> list[dict[str, Any]]:
    starts = [post.text.index(f"#{tag}") for tag in post.hashtags]
    return [
        {"start": start, "end": start + len(tag) + 1, "tag": tag}
        for start, tag in zip(starts, post.hashtags, strict=True)
    ]


def _includes(posts: Sequence[Post]) -> dict[str, Any]:
    users = {post.author.author_id: post.author for post in posts}
    media = {item.key: item for post in posts for item in post.media}
    return {
        "users": [
            {
                "id": user.author_id,
                "username": user.username,
                "public_metrics": {"followers_count": user.followers},
            }
            for user in users.values()
        ],
        "media": [_media_json(item) for item in media.values()],
    }


def _media_json(media: Media) -> dict[str, Any]:
    told = media.label is not None and int(media.key[-1]) < 3  # about a third describe their pictures
    return {
        "media_key": media.key,
        "type": "photo",
        "url": f"https://pbs.twimg.example/media/{media.key}{media.suffix}",
        "width": media.size[0],
        "height": media.size[1],
        "alt_text": media.label.caption if told and media.label is not None else None,
    }
