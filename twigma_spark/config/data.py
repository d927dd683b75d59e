"""Where the tables and the data are, and how Spark is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from twigma_spark.config.section import Name, Role, Section, one_of

ID = re.compile(r"^[A-Za-z0-9]{1,64}$")


class StoreSettings(Section):
    """Where the Delta tables live."""

    root: str = "build/twigma"
    artifacts: str | None = None


class Purge(Section):
    """What is done with the files of a table from which rows were deleted."""

    reorg: bool = True
    vacuum_hours: int = Field(168, ge=0)


class Spark(Section):
    """How a session is started where the platform has not started one."""

    master: str | None = None
    log_level: Literal["OFF", "ERROR", "WARN", "INFO", "DEBUG"] = "OFF"
    conf: dict[str, str] = Field({})
    short_session: bool | None = None


def _check_id(value: object) -> str | None:
    """Return an id as text: schedulers have numbers, which YAML does not take for texts."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if value is not None and not ID.match(text):
        raise ValueError("must be 1 to 64 letters and digits")
    return text or None


class RunSettings(Section):
    """How the stages of a run are executed."""

    id: Annotated[str | None, BeforeValidator(_check_id)] = None
    parallel: int | None = Field(None, ge=1)
    wait: float = Field(0.0, ge=0)
    events: str | None = None


class SampleSettings(Section):
    """The sample world that is drawn before the first stage where `out` is set."""

    out: str | None = None
    size: int = Field(3000, ge=80)
    seed: int = Field(20210101, ge=0)


# Readers by name and the module that holds their READER; a name and not an import, since config is below the stages.
# `twigma inspect` asks them in this order, and `folder` last.
OLDER_NAME = "x_api"  # of `posts`
READERS: Mapping[str, str] = {
    "folder": "twigma_spark.stages.readers.folder",
    "posts": "twigma_spark.stages.readers.posts",
    OLDER_NAME: "twigma_spark.stages.readers.posts",
    "twigma": "twigma_spark.stages.readers.twigma",
    "diffusiondb": "twigma_spark.stages.readers.diffusiondb",
    "clip_retrieval": "twigma_spark.stages.readers.clip_retrieval",
    "img2dataset": "twigma_spark.stages.readers.img2dataset",
    "artbench": "twigma_spark.stages.readers.artbench",
    "coco": "twigma_spark.stages.readers.coco",
    "table": "twigma_spark.stages.readers.table",
    "laion": "twigma_spark.stages.readers.laion",
}


ReaderName = Annotated[str, one_of(READERS)]


class Columns(Section):
    """Names of the metadata columns that fill the columns of `images` and `posts`; null where there is none."""

    file: str = "file"
    image: str = "image"
    url: str | None = "url"
    prompt: str | None = "prompt"
    prompt_id: str | None = "prompt_id"
    artist: str | None = "artist"
    genre: str | None = "genre"
    title: str | None = "title"
    caption: str | None = "caption"
    created_at: str | None = "created_at"
    post_id: str | None = "post_id"
    author_id: str | None = "author_id"
    author_followers: str | None = "author_followers"
    like_count: str | None = "like_count"
    quote_count: str | None = "quote_count"
    reply_count: str | None = "reply_count"
    sensitive: str | None = "sensitive"


class Corpus(Section):
    """One collection of images: its name, its role in the analyses and its reader."""

    name: Name
    role: Role
    reader: ReaderName = "folder"
    path: str
    metadata: str | None = None
    header: tuple[str, ...] | None = None
    columns: Columns = Columns()
    limit: int | None = Field(None, ge=1)
    fetch: bool = False
    embedded_by: str | None = None


class Texts(Section):
    """Other texts to compare with captions, prompts and posts, such as poems, news or a book: a line each."""

    name: Name
    path: str
