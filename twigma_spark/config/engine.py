"""The stages up to the neighbours: what is read, inferred, grouped and searched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twigma_spark.config.section import Name, Role, Section, Share, StageSection

USER_AGENT = r"^[\x20-\x7e]+$"


class Fetch(StageSection):
    """How pictures are downloaded whose addresses a corpus has."""

    rate: float = Field(10.0, gt=0)
    threads: int = Field(16, ge=1, le=256)
    connect: float = Field(10.0, gt=0)
    read: float = Field(30.0, gt=0)
    whole: float = Field(120.0, gt=0)
    max_bytes: int = Field(50_000_000, ge=1, lt=2**31)
    redirects: int = Field(5, ge=0, le=20)
    tries: int = Field(3, ge=1)
    attempts: int = Field(10, ge=1)
    honour_noai: bool = True
    user_agent: str = Field("twigma-spark", pattern=USER_AGENT)
    private_hosts: tuple[str, ...] = ()
    commit_every: int = Field(50_000, ge=1)


class Ingest(StageSection):
    """Limits on what is taken in."""

    max_pixels: int = Field(150_000_000, ge=1)
    max_bytes: int = Field(200_000_000, ge=1, lt=2**31)
    follow_links: bool = True


class Inference(StageSection):
    """How a model is fed: sizes and threads change the speed, never the result."""

    batch_size: int = Field(32, ge=1)
    decode_threads: int = Field(1, ge=1)
    threads: int | None = Field(None, ge=1)
    arrow_batch: int = Field(128, ge=1, le=1024)
    partitions: int | None = Field(None, ge=1)
    commit_every: int = Field(50_000, ge=1)


class EmbedText(Inference):
    """How texts are cleaned and fed to the text tower."""

    mentions: Literal["keep", "drop"] = "keep"


class Candidates(Section):
    """Which vectors are close enough for their images to be compared."""

    similarity: Share | None = None
    buckets: int = Field(2, ge=1)


class PixelCandidates(Section):
    """Which pixel vectors are close enough for their images to be compared."""

    similarity: Share = 0.8
    buckets: int = Field(3, ge=1)


class Near(Section):
    """When two images with other bytes are near-duplicates."""

    pixels: PixelCandidates = PixelCandidates()
    embeddings: Candidates | None = Candidates()
    hash_bits: int | None = Field(None, ge=0, le=256)
    orientations: Literal["upright", "mirrored", "all"] = "upright"


class Deduplicate(StageSection):
    """The rules for identical embeddings and near-duplicates."""

    decimals: int | None = Field(None, ge=1, le=6)
    near: Near | None = Near()
    driver_gb: float = Field(2.0, ge=0)
    known_copies: str | None = None


class Clustering(Section):
    """One k-means clustering over the corpora of some roles."""

    id: Name
    roles: tuple[Role, ...]
    k: int = Field(ge=2)
    themes: bool = False
    balanced: bool = True


class Cluster(StageSection):
    """The clusterings and how they are fitted."""

    clusterings: tuple[Clustering, ...] = (
        Clustering(id="origins", roles=("posts", "generated", "natural", "art"), k=4),
        Clustering(id="themes", roles=("posts",), k=10, themes=True),
    )
    engine: Literal["native", "spark-ml", "rapids"] = "native"
    metric: Literal["cosine", "euclidean"] = "cosine"
    rows_a_cluster: int = Field(1000, ge=1)
    summaries: int = Field(512, ge=2)
    restarts: int = Field(5, ge=1)
    refine: int | None = Field(None, ge=0)
    tol: float = Field(1e-4, ge=0)
    grid: tuple[Annotated[int, Field(ge=2)], ...] = (2, 3, 4, 6, 8, 10, 12, 15, 20)
    sample: int = Field(2000, ge=10, le=20_000)
    bootstrap: int = Field(100, ge=10)
    words: int = Field(40, ge=1)


class Index(Section):
    """Which FAISS index a reference gets."""

    factory: str | None = None
    engine: Literal["auto", "faiss", "bf16"] = "auto"
    memory_gb: float = Field(4.0, gt=0)
    exact_minutes: float = Field(30.0, ge=0)


class Search(Section):
    """Where and how the indexes are searched."""

    where: Literal["driver", "executors"] = "driver"
    batch_rows: int = Field(4096, ge=1)
    cache: str | None = None
    nprobe: int = Field(16, ge=1)
    min_recall: Share = 0.95
    sample: int = Field(1000, ge=1, le=10_000)


class Copies(Section):
    """When a best match is a candidate for a copy."""

    false_match_rate: float = Field(0.001, gt=0, lt=1)
    bootstrap: int = Field(200, ge=10)


class Neighbours(StageSection):
    """The nearest images of each reference, and which of them may be copies."""

    k: int = Field(5, ge=1)
    index: Index = Index()
    search: Search = Search()
    copies: Copies = Copies()
