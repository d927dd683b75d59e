"""The map, the statistics, the annotators and the report."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, field_validator

from twigma_spark.config.section import Name, Section, Share, StageSection


class Project(StageSection):
    """The map of all images."""

    landmarks: int = Field(10_000, ge=20)
    neighbours: int = Field(15, ge=2)
    min_dist: float = Field(0.1, ge=0, le=1)
    sample: int = Field(2000, ge=20, le=10_000)
    bootstrap: int = Field(100, ge=10)


class GridSettings(Section):
    """The ways in which the divergence is computed again, to see what depends on them."""

    clusters: tuple[Annotated[int, Field(ge=2)], ...] = Field((5, 10, 20, 50), min_length=1)
    seeds: int = Field(3, ge=1)
    shares: tuple[Share, ...] = Field((0.5, 1.0), min_length=1)
    max_images: int = Field(5_000, ge=10)
    bootstrap: int = Field(100, ge=10)


class Distinctiveness(StageSection):
    """The quantised Kullback-Leibler divergence between corpora, and measures that need no bins."""

    clusters: int = Field(10, ge=2)
    variance: Share = 0.9
    max_images: int = Field(20_000, ge=10)
    compared: int = Field(2_000, ge=10)
    k: int = Field(5, ge=1)
    bootstrap: int = Field(200, ge=10)
    confidence: float = Field(0.95, gt=0, lt=1)
    grid: GridSettings = GridSettings()


class Variation(StageSection):
    """How varied corpora are, and the images of one post, prompt or artist."""

    max_images: int = Field(20_000, ge=10)
    per_group: int = Field(50, ge=2)
    pairs: int = Field(50_000, ge=10)
    clusters: int = Field(10, ge=2)
    variance: Share = 0.9
    blocks: int = Field(10, ge=2)
    bootstrap: int = Field(200, ge=10)
    confidence: float = Field(0.95, gt=0, lt=1)


class Boosting(Section):
    """SynapseML's LightGBM model of likes."""

    iterations: int = Field(200, ge=1)
    leaves: int = Field(31, ge=2)
    learning_rate: float = Field(0.05, gt=0, le=1)
    smallest_leaf: int = Field(20, ge=1)
    held_out: float = Field(0.25, gt=0, lt=1)


class LikesSettings(StageSection):
    """Likes against similarity to the references."""

    nearest: int = Field(5, ge=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    hashtags: int = Field(5, ge=0)
    boosting: Boosting | None = None


class Trends(StageSection):
    """How the themes of the posts move, and the shares of NSFW images."""

    level: float = Field(0.05, gt=0, lt=1)
    least_change: float = Field(0.1, ge=0)
    confidence: float = Field(0.95, gt=0, lt=1)
    words: int = Field(80, ge=0)
    hashtags: int = Field(8, ge=0, le=30)
    sources: int = Field(5, ge=0, le=15)
    models: dict[str, tuple[str, ...]] = Field(
        {
            "DALL-E": ("dalle", "dalle2", "dalle3"),
            "Midjourney": ("midjourney", "midjourneyart"),
            "Stable Diffusion": ("stablediffusion", "stablediffusionart"),
            "VQGAN": ("vqgan", "vqganclip"),
        }
    )
    nsfw_thresholds: tuple[Share, ...] = (0.3, 0.5, 0.7, 0.9)


class Concordance(StageSection):
    """The annotators' sheet and what their answers are compared with."""

    clustering: Name = "themes"
    per_cluster: int = Field(10, ge=1)
    thumbnail: int = Field(256, ge=16)
    nsfw_threshold: float = Field(0.5, ge=0, le=1)
    answers: str | None = None
    permutations: int = Field(2000, ge=99)
    resamples: int = Field(1000, ge=100)


class Report(StageSection):
    """What the report shows and where the file goes."""

    path: str = "build/report.html"
    title: str = "TWIGMA report"
    events: dict[str, date] = Field(
        {
            "DALL-E 2": date(2022, 4, 6),
            "Midjourney open beta": date(2022, 7, 12),
            "Stable Diffusion 1.4": date(2022, 8, 22),
        }
    )
    nsfw_threshold: float = Field(0.5, ge=0, le=1)
    examples: int = Field(12, ge=1)
    pairs: int = Field(24, ge=1)
    copies: int = Field(8, ge=0)
    duplicate_groups: int = Field(8, ge=0)
    shared_pairs: int = Field(8, ge=0)
    reward_pairs: int = Field(6, ge=0)
    hashtags: int = Field(8, ge=0)
    hashtag_examples: int = Field(6, ge=1)
    hashtag_posts: int = Field(10, ge=1)
    thumbnail: int = Field(224, ge=16)
    map_bins: int = Field(512, ge=64, le=2048)
    map_entries: int = Field(300_000, ge=1000)
    map_pictures: int = Field(500, ge=0)
    map_neighbours: int = Field(3, ge=0, le=10)

    @field_validator("map_bins")
    @classmethod
    def _halves(cls, bins: int) -> int:
        if bins & (bins - 1):
            raise ValueError("must be a power of two, so that coarser grids are made of it")
        return bins
