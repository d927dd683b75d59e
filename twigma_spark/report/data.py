"""What the page is made of: small frozen records, without pyspark."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from twigma_spark.report.grid import Counts
from twigma_spark.results import Result

ROLES = ("posts", "generated", "natural", "art")


@dataclass(frozen=True)
class CorpusSummary:
    """What became of the files of one corpus: `files` are kept, duplicates or rejects; or vectors that came as such."""

    name: str
    role: str
    files: int
    kept: int
    duplicates: Mapping[str, int] = field(default_factory=dict)
    rejects: int = 0
    since: datetime | None = None
    until: datetime | None = None
    are_vectors: bool = False

    @property
    def repeated(self) -> int:
        """Duplicates of all tiers."""
        return sum(self.duplicates.values())

    @property
    def lost(self) -> int:
        """Files that are neither kept, nor duplicates, nor rejects; 0 where the account is right."""
        return self.files - self.kept - self.repeated - self.rejects


@dataclass(frozen=True)
class DownloadEnd:
    """How many pictures of a corpus ended so: `outcome` is ok, retry or final; `attempts` are those at all of them."""

    corpus: str
    outcome: str
    reason: str
    pictures: int
    attempts: int


@dataclass(frozen=True)
class Picture:
    """An image as it is shown.

    Attributes:
        text: caption, title or prompt; from outside.
        thumbnail: WebP, JPEG or PNG bytes; None where the image could not be drawn.
        preview: a few pixels of it, shown blurred in place of a hidden picture.
        score: NSFW score, 0 to 1; None where no model has scored it.
        sensitive: the flag that came with it; None where there is none.
        file: its place in the corpus; from outside.
        link: from the page to the file; "" where the file lies on another machine.
    """

    image_id: str
    corpus: str
    text: str = ""
    thumbnail: bytes | None = None
    preview: bytes | None = None
    score: float | None = None
    sensitive: bool | None = None
    file: str = ""
    link: str = ""

    def hidden_because(self, threshold: float) -> str | None:
        """Return why the picture must not be shown unasked, or None where it may be."""
        if self.score is not None and self.score > threshold:
            return f"NSFW score {self.score:.2f}"
        if self.sensitive:
            return "flagged as sensitive"
        return "safety unknown" if self.score is None and self.sensitive is None else None


@dataclass(frozen=True)
class ThemeSummary:
    """One cluster of a clustering that tells themes.

    Attributes:
        words: (term, weight), best first.
        months: ("YYYY-MM", images of that month in the cluster), in order of time.
        pictures: nearest to the centre first.
    """

    clustering: str
    cluster: int
    size: int
    mean_distance: float | None = None
    words: tuple[tuple[str, float], ...] = ()
    months: tuple[tuple[str, int], ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def name(self) -> str:
        """The three best words, or the number of the theme."""
        return ", ".join(word for word, _ in self.words[:3]) or f"theme {self.cluster}"

    @property
    def heading(self) -> str:
        """The number and the words."""
        return f"{self.cluster} · {self.name}" if self.words else self.name


@dataclass(frozen=True)
class OriginCount:
    """Images of one corpus in one cluster of a clustering over several corpora."""

    clustering: str
    cluster: int
    corpus: str
    images: int


@dataclass(frozen=True)
class BestMatches:
    """How like the posts' images are to their nearest image of one reference corpus.

    Attributes:
        images: images of the posts that have a match.
        nearest: those of them that are nearer to this reference than to any other.
        mean: mean cosine similarity of the best match.
        deviation: its standard deviation.
        bins: (lower edge, images); all bins have the width `width`.
    """

    reference: str
    images: int
    nearest: int
    mean: float
    deviation: float
    bins: tuple[tuple[float, int], ...] = ()
    width: float = 0.02


@dataclass(frozen=True)
class Pair:
    """An image of the posts and its nearest image of a reference.

    Attributes:
        false_match_rate: how often chance reaches this similarity; None where the pair is no copy candidate.
    """

    reference: str
    post: Picture
    match: Picture
    similarity: float
    false_match_rate: float | None = None


@dataclass(frozen=True)
class Repeat:
    """An image that repeats another one: how it was found, and the cosine of the two."""

    picture: Picture
    tier: str
    similarity: float | None = None


@dataclass(frozen=True)
class DuplicateGroup:
    """An image that is kept and some of those that repeat it; `size` counts them all."""

    kept: Picture
    size: int
    repeats: tuple[Repeat, ...]


@dataclass(frozen=True)
class SharedPair:
    """An image of one corpus and its copy in another; `bits` of 256 in which their hashes differ."""

    one: Picture
    other: Picture
    tier: str
    bits: int


@dataclass(frozen=True)
class HashtagCandidate:
    """A hashtag that comes with the current ones.

    Attributes:
        posts: that have it; `together` with a current one, of so many `authors`.
        lift: how much more often they come together than by chance, with the ends of its interval of 95%.
        judged: posts whose images all have a score; of these are so many `accepted`.
        precision: their share with the ends of Wilson's interval of 95%; None where no post was judged.
        pictures: of posts that have it, those without a current hashtag first.
    """

    hashtag: str
    posts: int
    together: int
    authors: int
    lift: float
    lift_low: float
    lift_high: float
    judged: int
    accepted: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class RewardPair:
    """A held-out pair: `margin` is the reward model's score of the preferred image less that of the other."""

    preferred: Picture
    other: Picture
    preferred_likes: int | None
    other_likes: int | None
    margin: float


@dataclass(frozen=True)
class MapCell:
    """What one corpus has in one cell of the map.

    Attributes:
        x: the cell's middle.
        y: the cell's middle.
        dated: images with a date.
        year: the mean of their dates, as a decimal year.
    """

    corpus: str
    x: float
    y: float
    images: int
    dated: int = 0
    year: float | None = None


@dataclass(frozen=True)
class MapLayer:
    """The images of the map by one property.

    Attributes:
        name: of the property: corpus, date or theme.
        groups: its values, in order.
        side: cells a side of the grid that they are counted in.
        counts: images of each group in each cell.
    """

    name: str
    groups: tuple[str, ...]
    side: int
    counts: Counts


@dataclass(frozen=True)
class MapPicture:
    """A picture on the map that stands for the images around it.

    Attributes:
        x: its place, from 0 (left) to 1.
        y: its place, from 0 (below) to 1.
        neighbours: pictures of its nearest neighbours and their cosine similarities, the most similar first.
    """

    picture: Picture
    x: float
    y: float
    neighbours: tuple[tuple[Picture, float], ...] = ()


@dataclass(frozen=True)
class ImageMap:
    """The map that can be zoomed; its size is bounded by the configuration."""

    layers: tuple[MapLayer, ...]
    pictures: tuple[MapPicture, ...] = ()


@dataclass(frozen=True)
class Safety:
    """What is known of the kept images of a corpus.

    Attributes:
        scored: images with an NSFW score.
        above: those above the threshold.
        flagged: images that came with a flag that says sensitive.
        unknown: images with neither score nor flag.
    """

    corpus: str
    images: int
    scored: int
    above: int
    flagged: int
    unknown: int


@dataclass(frozen=True)
class PromptDistance:
    """How far apart the images of one prompt are, as unit vectors, and how many words it has."""

    corpus: str
    words: int
    distance: float


@dataclass(frozen=True)
class Reject:
    """What was refused for one reason; `examples` are (key, detail)."""

    stage: str
    unit: str
    corpus: str
    reason: str
    count: int
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StageRun:
    """The last good run of a stage."""

    stage: str
    started_at: datetime
    seconds: float
    rows_in: Mapping[str, int] = field(default_factory=dict)
    rows_out: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    config_hash: str = ""


@dataclass(frozen=True)
class ReportData:
    """All that the page shows; an empty part is described in words, never an error."""

    title: str
    created_at: datetime
    corpora: tuple[CorpusSummary, ...] = ()
    downloads: tuple[DownloadEnd, ...] = ()
    results: tuple[Result, ...] = ()
    origins: tuple[OriginCount, ...] = ()
    themes: tuple[ThemeSummary, ...] = ()
    matches: tuple[BestMatches, ...] = ()
    pairs: tuple[Pair, ...] = ()
    copies: tuple[Pair, ...] = ()
    events: tuple[tuple[str, date], ...] = ()
    duplicate_groups: tuple[DuplicateGroup, ...] = ()
    shared_pairs: tuple[SharedPair, ...] = ()
    hashtags: tuple[HashtagCandidate, ...] = ()
    current_hashtags: tuple[str, ...] = ()
    reward_pairs: tuple[RewardPair, ...] = ()
    prompts: tuple[PromptDistance, ...] = ()
    cells: tuple[MapCell, ...] = ()
    image_map: ImageMap | None = None
    safety: tuple[Safety, ...] = ()
    nsfw_threshold: float = 0.5
    popularity: str = "like_count"
    rejects: tuple[Reject, ...] = ()
    runs: tuple[StageRun, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of the configuration of every stage that the report shows; "" where none has run."""
        parts = sorted(f"{run.stage} {run.config_hash}" for run in self.runs if run.stage != "report")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""

    @property
    def reward_pairs_right(self) -> tuple[RewardPair, ...]:
        """The held-out pairs that the reward model puts in the right order, the surest first."""
        return tuple(sorted((p for p in self.reward_pairs if p.margin > 0), key=lambda p: -p.margin))

    @property
    def reward_pairs_wrong(self) -> tuple[RewardPair, ...]:
        """The held-out pairs that the reward model puts in the wrong order, the surest first."""
        return tuple(sorted((p for p in self.reward_pairs if p.margin < 0), key=lambda p: p.margin))

    def of_role(self, *roles: str) -> tuple[str, ...]:
        """Return the names of the corpora that have one of `roles`."""
        return tuple(c.name for c in self.corpora if c.role in roles)

    def select(self, analysis: str, metric: str, **labels: object) -> list[Result]:
        """Return the results of one metric that carry these labels, and perhaps others."""
        return [r for r in self.results if (r.analysis, r.metric) == (analysis, metric) and r.has(**labels)]

    def get(self, analysis: str, metric: str, **labels: object) -> Result | None:
        """Return the result with exactly these labels; None where there is none."""
        return next((r for r in self.select(analysis, metric, **labels) if len(r.labels) == len(labels)), None)

    def by_label(self, analysis: str, metric: str, label: str, **labels: object) -> dict[str, Result]:
        """Return by the value of `label` the results that carry it and `labels`, and no others."""
        rows = self.select(analysis, metric, **labels)
        return {r.labels[label]: r for r in rows if label in r.labels and len(r.labels) == len(labels) + 1}

    def corpus_order(self, *names: str) -> list[tuple[int, str]]:
        """Return a sort key: the places of corpora on the page, unknown ones last by name."""
        order = {corpus.name: place for place, corpus in enumerate(self.corpora)}
        return [(order.get(name, len(order)), name) for name in names]
