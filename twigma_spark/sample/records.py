"""What is true of a sample world, as it stands in truth.json and truth_images.jsonl."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A frozen record that takes no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ImageTruth(Record):
    """One usable image: a line of truth_images.jsonl."""

    corpus: str
    source_key: str
    caption: str
    theme: str
    style: str
    medium: str
    sensitive: bool
    style_mix: float


class FileCounts(Record):
    """How many candidate images a corpus holds, and how many of them can be used."""

    files: int
    usable: int


class DuplicateGroup(Record):
    """Images of one corpus with the same bytes."""

    corpus: str
    source_keys: tuple[str, ...]


class SharedMedia(Record):
    """One media key that several posts list."""

    media_key: str
    source_keys: tuple[str, ...]


class NearDuplicate(Record):
    """A changed copy of an image of the same corpus; `kind` is a key of encode.CHANGES."""

    corpus: str
    source_key: str
    of: str
    kind: str


class ReferenceCopy(Record):
    """A post that is a changed copy of an image of a reference corpus."""

    source_key: str
    of_corpus: str
    of: str
    kind: str


class Broken(Record):
    """Something odd: a file, or a post, with the reason it must be rejected for, or None where it is usable.

    An image that is listed twice stays usable once; its second listing is what is rejected.
    """

    unit: str
    corpus: str
    source_key: str
    kind: str
    usable: bool
    reason: str | None


class MetadataFault(Record):
    """A faulty entry of a metadata file; `where` is "file:line", the first line being 1."""

    corpus: str
    where: str
    kind: str
    usable: bool
    reason: str | None


class KlOrder(Record):
    """Which corpora the posts are nearest to; no order is promised among the last ones."""

    source: str = Field(alias="from")
    nearest_first: tuple[str, ...]
    then_any_order: tuple[str, ...]


class TrendTruth(Record):
    """How a theme's weight among the posts moves: log weight per month."""

    slope_per_month: float
    direction: str


class LikesModel(Record):
    """Negative binomial likes: log mean = intercept + band + style_mix * mix, variance = mean + d * mean²."""

    intercept: float
    bands: dict[str, float]
    style_mix: float
    dispersion: float


class CommunityModel(Record):
    """Negative binomial likes of the posts made from prompts, and who posts what.

    Log mean = intercept + brightness * brightness of the picture + band + evening; the brightness is what the community
    likes, at most one either way. Log odds of an author's band rise with the warmth of the picture by `warmth_of_bands`
    a band: warmth only seems to be liked. Traits are differences from the mean of the prompt, in standard deviations.
    """

    intercept: float
    brightness: float
    bands: dict[str, float]
    evening: float
    warmth_of_bands: float
    dispersion: float


class TasteTruth(Record):
    """The planted latents of an image made from a prompt."""

    source_key: str
    brightness: float
    warmth: float


class PostTruth(Record):
    """The planted latents of a post."""

    post_id: str
    theme: str
    band: str
    style_mix: float


class PromptTruth(Record):
    """How freely the four images of a prompt vary: the wobble in [0, 1] and the traits left unnamed."""

    prompt_id: str
    words: int
    wobble: float
    free_traits: int


class Truth(Record):
    """All that was planted in a world."""

    format: int
    size: int
    seed: int
    corpora: dict[str, FileCounts]
    byte_duplicates: tuple[DuplicateGroup, ...]
    shared_media: tuple[SharedMedia, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    reference_copies: tuple[ReferenceCopy, ...]
    broken: tuple[Broken, ...]
    metadata_faults: tuple[MetadataFault, ...]
    kl_order: KlOrder
    trends: dict[str, TrendTruth]
    likes: LikesModel
    posts: tuple[PostTruth, ...]
    prompts: tuple[PromptTruth, ...]
    community: CommunityModel
    tastes: tuple[TasteTruth, ...]
