"""The columns of a release, and which of them the terms of a platform let others have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import pyarrow as pa

from twigma_spark.config.data import Corpus
from twigma_spark.config.release import FieldSet, Platform, Release
from twigma_spark.errors import ConfigError

STRING, INT, DOUBLE, FLAG, TIME = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Field:
    """A column of a release.

    Attributes:
        name: as TWIGMA's release has it (Chen & Zou 2023).
        type: in Parquet; the same in CSV as text.
        kind: the least set of fields that it is in.
        description: what it holds.
    """

    name: str
    type: pa.DataType
    kind: FieldSet
    description: str


FIELDS = (
    Field("id", STRING, "ids", "Id of the post; of an image without a post its own. A string: it outgrows a double."),
    Field("image_name", STRING, "ids", "Name of the image at the platform, or its path in the collection."),
    Field("created_at", TIME, "all", "When the post was made, UTC."),
    Field("like_count", INT, "all", "Likes when the post was collected."),
    Field("quote_count", INT, "all", "Quotes when the post was collected."),
    Field("reply_count", INT, "all", "Replies when the post was collected."),
    Field("all_captions", STRING, "derived", "Caption of the image, written by a model."),
    Field("label_10_cluster", INT, "derived", "Cluster of the image, from 0 by falling size."),
    Field("possibly_sensitive", FLAG, "all", "Flag of the poster or the platform."),
    Field("nsfw_score", DOUBLE, "derived", "Score of an NSFW model, 0 to 1."),
    Field("UMAP_dim_1", DOUBLE, "derived", "First coordinate of the image on the map, without a unit."),
    Field("UMAP_dim_2", DOUBLE, "derived", "Second coordinate of the image on the map, without a unit."),
)
AUTHOR = Field("author_hash", STRING, "all", "Keyed hash (HMAC-SHA256) of the author's id; the key is not released.")
KEY = ("id", "image_name")

SETS: Mapping[FieldSet, tuple[FieldSet, ...]] = {
    "ids": ("ids",),
    "derived": ("ids", "derived"),
    "all": ("ids", "derived", "all"),
}


@dataclass(frozen=True)
class Profile:
    """What a platform's terms allow.

    Attributes:
        fields: the set that may be given away without further ado.
        rows_a_file: rows of one file at most; None for any number.
        terms: the rule, in words.
    """

    fields: FieldSet
    rows_a_file: int | None
    terms: str


PROFILES: Mapping[Platform, Profile] = {
    "x": Profile(
        "ids",
        1_500_000,
        "X lets others have ids of posts, which they look up again themselves: at most 1,500,000 ids to a recipient "
        "within 30 days, more only for non-commercial research at an academic institution. Posts that are gone must "
        "not be kept.",
    ),
    "fediverse": Profile(
        "derived",
        None,
        "Ids, and what was computed from the images: the posts themselves stay with their authors, who can take them "
        "back.",
    ),
    "own": Profile("all", None, "The collection's own images and texts: all may be given away."),
}


FEDERATED = frozenset({"bluesky", "mastodon"})


def platform_of(corpora: Sequence[Corpus], platforms: Set[str] | None, release: Release) -> Platform:
    """Return whose terms hold for the corpora.

    Args:
        corpora: of which images are released.
        platforms: where their posts are from (`posts.platform`); None where no image has the id of a post.
        release: the configuration.

    Raises:
        ConfigError: where it must be named, or the one named is less strict than the reader says.
    """
    from_x = sorted(c.name for c in corpora if c.reader == "x_api") or sorted((platforms or set()) & {"x"})
    if from_x and release.platform not in (None, "x"):
        raise ConfigError(
            f"release.platform must be x for posts of X ({', '.join(from_x)}). "
            f"Got {release.platform!r}; give more fields with release.fields and release.reason."
        )
    if release.platform is None and platforms and platforms <= FEDERATED:
        return "fediverse"
    if release.platform is None and not from_x and platforms is not None:
        raise ConfigError(
            "release.platform must name where the posts are from (x, fediverse, or own where they are your own). "
            "Got null, and the images have ids of posts."
        )
    return release.platform or ("x" if from_x else "own")


def fields_of(platform: Platform, release: Release) -> tuple[Field, ...]:
    """Return the columns of the release.

    Raises:
        ConfigError: where more is asked for than the platform allows, and no reason is given.
    """
    allowed = PROFILES[platform].fields
    wanted = release.fields or allowed
    beyond = set(SETS[wanted]) - set(SETS[allowed])
    if (beyond or (release.authors and "all" not in SETS[allowed])) and not (release.reason or "").strip():
        what = "release.authors" if not beyond else f"release.fields: {wanted}"
        raise ConfigError(
            f"release.reason must say why more is released than the terms of {platform!r} allow by default "
            f"({allowed}). Got none, with {what}. {PROFILES[platform].terms}"
        )
    chosen = tuple(field for field in FIELDS if field.kind in SETS[wanted])
    return (*chosen, AUTHOR) if release.authors else chosen


def schema_of(fields: Sequence[Field]) -> pa.Schema:
    """Return the Arrow schema of a release with these columns."""
    return pa.schema([(field.name, field.type) for field in fields])
