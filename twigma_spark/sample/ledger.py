"""The book that is kept while a world is drawn: every image, and everything planted on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from twigma_spark.sample.records import (
    Broken,
    DuplicateGroup,
    FileCounts,
    ImageTruth,
    MetadataFault,
    NearDuplicate,
    PostTruth,
    PromptTruth,
    ReferenceCopy,
    SharedMedia,
    TasteTruth,
)
from twigma_spark.sample.scenes import Scene


@dataclass
class Ledger:
    """What has been drawn so far; `tick` is called once an image."""

    tick: Callable[[], None] | None = None
    images: list[ImageTruth] = field(default_factory=list)
    byte_duplicates: list[DuplicateGroup] = field(default_factory=list)
    shared_media: list[SharedMedia] = field(default_factory=list)
    near_duplicates: list[NearDuplicate] = field(default_factory=list)
    reference_copies: list[ReferenceCopy] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    metadata_faults: list[MetadataFault] = field(default_factory=list)
    posts: list[PostTruth] = field(default_factory=list)
    prompts: list[PromptTruth] = field(default_factory=list)
    tastes: list[TasteTruth] = field(default_factory=list)

    def image(self, corpus: str, source_key: str, label: ImageTruth) -> None:
        """Enters a usable image."""
        self.images.append(label.model_copy(update={"corpus": corpus, "source_key": source_key}))
        if self.tick is not None:
            self.tick()

    def odd(self, corpus: str, source_key: str, kind: str, reason: str | None, unit: str = "image") -> None:
        """Enters something odd: usable where it has no reason to be rejected."""
        entry = Broken(unit=unit, corpus=corpus, source_key=source_key, kind=kind, usable=reason is None, reason=reason)
        self.broken.append(entry)

    def append(self, other: Ledger) -> None:
        """Enters all that another ledger holds, after what is there."""
        for each in fields(self):
            if each.name != "tick":
                getattr(self, each.name).extend(getattr(other, each.name))

    def accounts(self) -> dict[str, FileCounts]:
        """Candidates and usable images of every corpus: a candidate is usable or has one reject."""
        usable = Counter(image.corpus for image in self.images)
        refused = Counter(entry.corpus for entry in self.broken if entry.unit == "image" and not entry.usable)
        return {name: FileCounts(files=usable[name] + refused[name], usable=usable[name]) for name in usable}


def label_of(scene: Scene) -> ImageTruth:
    """What is true of a scene, not yet bound to a corpus and a key."""
    return ImageTruth(
        corpus="",
        source_key="",
        caption=scene.caption,
        theme=scene.theme,
        style=scene.style,
        medium=scene.medium,
        sensitive=scene.sensitive,
        style_mix=round(scene.style_mix, 4),
    )
