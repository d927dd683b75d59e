"""Settings: pydantic sections, one a stage, read from YAML overlays; every fault is reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twigma_spark.errors import ConfigError

Role = Literal["posts", "generated", "natural", "art"]
NAME = r"^[a-z][a-z0-9_]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A frozen group of keys; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Store(Section):
    """Where the Delta tables live."""

    root: str = "build/twigma"
    artifacts: str | None = None


class Spark(Section):
    """How a session is started where the platform has not started one."""

    master: str | None = None
    log_level: Literal["OFF", "ERROR", "WARN", "INFO", "DEBUG"] = "OFF"
    conf: dict[str, str] = {}


class Sample(Section):
    """The sample world that is drawn before the first stage where `out` is set."""

    out: str | None = None
    size: int = Field(3000, ge=80)
    seed: int = Field(20210101, ge=0)


class Columns(Section):
    """Names of the metadata columns that fill the columns of `images`; null where there is none."""

    file: str = "file"
    prompt: str | None = "prompt"
    prompt_id: str | None = "prompt_id"
    artist: str | None = "artist"
    genre: str | None = "genre"
    title: str | None = "title"
    caption: str | None = "caption"
    created_at: str | None = "created_at"


class Corpus(Section):
    """One collection of images: its name, its role in the analyses and its reader."""

    name: Name
    role: Role
    reader: Literal["folder", "x_api"] = "folder"
    path: str
    metadata: str | None = None
    header: tuple[str, ...] | None = None
    columns: Columns = Columns()
    limit: int | None = Field(None, ge=1)


Precision = Literal["auto", "fp32", "bf16", "fp16"]
Decode = Literal["fast", "pillow"]
Rgb = tuple[float, float, float]


class OpenClip(Section):
    """An open_clip model: by architecture and pretrained tag or file, or by a folder."""

    kind: Literal["open_clip"]
    name: str | None = None
    pretrained: str | None = None
    path: str | None = None
    precision: Precision = "auto"
    decode: Decode = "fast"


class OnnxNet(Section):
    """An ONNX network and what it wants to be fed."""

    path: str
    output: str | None = None
    size: int = Field(224, ge=8)
    fit: Literal["squash", "shortest"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    scale: float = 1 / 255
    mean: Rgb = (0.0, 0.0, 0.0)
    std: Rgb = (1.0, 1.0, 1.0)
    decode: Decode = "fast"


class Onnx(OnnxNet):
    """An ONNX encoder."""

    kind: Literal["onnx"]
    normalise: bool = True


class OnnxClasses(OnnxNet):
    """An ONNX classifier; the probabilities of the `positive` classes are added."""

    kind: Literal["onnx_classes"]
    classes: tuple[str, ...]
    positive: tuple[str, ...]


class Blip(Section):
    """A BLIP captioner by hub name or local folder."""

    kind: Literal["blip"]
    name: str = "Salesforce/blip-image-captioning-base"
    revision: str | None = None
    num_beams: int = Field(1, ge=1)
    min_length: int = Field(0, ge=0)
    max_length: int = Field(20, ge=1)
    precision: Precision = "auto"
    decode: Decode = "fast"


class Head(Section):
    """A head that scores the image encoder's embeddings."""

    kind: Literal["linear", "laion_nsfw", "laion_aesthetic"]
    path: str
    vocabulary: str | None = None
    embedding_model: str | None = None


ImageModel = Annotated[OpenClip | Onnx, Field(discriminator="kind")]
NsfwModel = Annotated[Head | OnnxClasses, Field(discriminator="kind")]


class Models(Section):
    """Which models are used; null leaves the stage that needs one without work."""

    device: Literal["cpu", "cuda"] = "cpu"
    image: ImageModel = OpenClip(kind="open_clip", name="ViT-L-14", pretrained="openai")
    caption: Blip | None = Blip(kind="blip")
    nsfw: NsfwModel | None = None
    aesthetic: Head | None = None


class Ingest(Section):
    """Limits on what is taken in."""

    max_pixels: int = Field(150_000_000, ge=1)
    max_bytes: int = Field(200_000_000, ge=1, lt=2**31)


class Inference(Section):
    """How a model is fed: sizes and threads change the speed, never the result."""

    batch_size: int = Field(32, ge=1)
    decode_threads: int = Field(1, ge=1)
    threads: int | None = Field(None, ge=1)
    arrow_batch: int = Field(128, ge=1, le=1024)
    partitions: int | None = Field(None, ge=1)
    commit_every: int = Field(50_000, ge=1)


class Near(Section):
    """When two images with other bytes are near-duplicates."""

    similarity: Share = 0.95
    hash_bits: int | None = Field(16, ge=0, le=256)
    buckets: int = Field(2, ge=1)


class Deduplicate(Section):
    """The rules for identical embeddings and near-duplicates."""

    decimals: int = Field(4, ge=1, le=6)
    near: Near | None = Near()
    driver_gb: float = Field(2.0, ge=0)


class Clustering(Section):
    """One k-means clustering over the corpora of some roles."""

    id: Name
    roles: tuple[Role, ...]
    k: int = Field(ge=2)
    themes: bool = False


class Cluster(Section):
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
    refine: int = Field(0, ge=0)
    tol: float = Field(1e-4, ge=0)
    grid: tuple[Annotated[int, Field(ge=2)], ...] = (2, 3, 4, 6, 8, 10, 12, 15, 20)
    sample: int = Field(2000, ge=10, le=20_000)
    bootstrap: int = Field(100, ge=10)
    words: int = Field(40, ge=1)


class Index(Section):
    """Which FAISS index a reference gets."""

    factory: str | None = None
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


class Neighbours(Section):
    """The nearest images of each reference, and which of them may be copies."""

    k: int = Field(5, ge=1)
    index: Index = Index()
    search: Search = Search()
    copies: Copies = Copies()


class Project(Section):
    """The map of all images."""

    landmarks: int = Field(10_000, ge=20)
    neighbours: int = Field(15, ge=2)
    min_dist: float = Field(0.1, ge=0, le=1)
    sample: int = Field(2000, ge=20, le=10_000)
    bootstrap: int = Field(100, ge=10)


class Grid(Section):
    """The ways in which the divergence is computed again, to see what depends on them."""

    clusters: tuple[Annotated[int, Field(ge=2)], ...] = Field((5, 10, 20, 50), min_length=1)
    seeds: int = Field(3, ge=1)
    shares: tuple[Share, ...] = Field((0.5, 1.0), min_length=1)
    max_images: int = Field(5_000, ge=10)
    bootstrap: int = Field(100, ge=10)


class Distinctiveness(Section):
    """The quantised Kullback-Leibler divergence between corpora, and measures that need no bins."""

    clusters: int = Field(10, ge=2)
    variance: Share = 0.9
    max_images: int = Field(20_000, ge=10)
    compared: int = Field(2_000, ge=10)
    k: int = Field(5, ge=1)
    bootstrap: int = Field(200, ge=10)
    confidence: float = Field(0.95, gt=0, lt=1)
    grid: Grid = Grid()


class Variation(Section):
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


class Likes(Section):
    """Likes against similarity to the references."""

    nearest: int = Field(5, ge=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    boosting: Boosting | None = None


class Trends(Section):
    """How the themes of the posts move, and the shares of NSFW images."""

    level: float = Field(0.05, gt=0, lt=1)
    least_change: float = Field(0.1, ge=0)
    confidence: float = Field(0.95, gt=0, lt=1)
    hashtags: int = Field(8, ge=0, le=30)
    sources: int = Field(5, ge=0, le=15)
    models: dict[str, tuple[str, ...]] = {
        "DALL-E": ("dalle", "dalle2", "dalle3"),
        "Midjourney": ("midjourney", "midjourneyart"),
        "Stable Diffusion": ("stablediffusion", "stablediffusionart"),
        "VQGAN": ("vqgan", "vqganclip"),
    }
    nsfw_thresholds: tuple[Share, ...] = (0.3, 0.5, 0.7, 0.9)


class Concordance(Section):
    """The annotators' sheet and what their answers are held against."""

    clustering: Name = "themes"
    per_cluster: int = Field(10, ge=1)
    thumbnail: int = Field(256, ge=16)
    nsfw_threshold: float = Field(0.5, ge=0, le=1)
    answers: str | None = None
    permutations: int = Field(2000, ge=99)
    resamples: int = Field(1000, ge=100)


class Report(Section):
    """What the report shows and where the file goes."""

    path: str = "build/report.html"
    title: str = "TWIGMA report"
    nsfw_threshold: float = Field(0.5, ge=0, le=1)
    examples: int = Field(12, ge=1)
    pairs: int = Field(24, ge=1)
    thumbnail: int = Field(160, ge=16)
    map_bins: int = Field(80, ge=10, le=300)


class Config(Section):
    """All settings of a run."""

    seed: int = Field(20230105, ge=0)
    store: Store = Store()
    spark: Spark = Spark()
    sample: Sample = Sample()
    corpora: tuple[Corpus, ...] = ()
    models: Models = Models()
    ingest: Ingest = Ingest()
    embed: Inference = Inference()
    score: Inference = Inference()
    deduplicate: Deduplicate = Deduplicate()
    caption: Inference = Inference()
    embed_text: Inference = Inference()
    cluster: Cluster = Cluster()
    neighbours: Neighbours = Neighbours()
    project: Project = Project()
    distinctiveness: Distinctiveness = Distinctiveness()
    variation: Variation = Variation()
    likes: Likes = Likes()
    trends: Trends = Trends()
    concordance: Concordance = Concordance()
    report: Report = Report()

    @model_validator(mode="after")
    def _corpora_agree(self) -> Config:
        names = [c.name for c in self.corpora]
        if doubled := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"corpora must be named differently. Got twice: {doubled}.")
        ids = [c.id for c in self.cluster.clusterings]
        if len(set(ids)) < len(ids):
            raise ValueError(f"cluster.clusterings must have different ids. Got {ids}.")
        return self

    def of_role(self, *roles: str) -> list[str]:
        """Return the names of the corpora that have one of `roles`, in the order of the configuration."""
        return [c.name for c in self.corpora if c.role in roles]

    def fingerprint(self, keys: Iterable[str]) -> str:
        """Return a hash of the values under dotted `keys`, such as ``("embed", "models.image")``."""
        picked = {key: _dig(self.model_dump(mode="json"), key) for key in sorted(keys)}
        return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:16]


def load(paths: Sequence[str | Path] = (), overrides: Sequence[str] = ()) -> Config:
    """Return the settings of YAML files, laid one over the other, and of ``key=value`` overrides.

    Args:
        paths: YAML files; a later one wins, mappings are merged key by key, lists are replaced.
        overrides: such as ``"embed.batch_size=64"``; the value is read as YAML.

    Raises:
        ConfigError: names every fault found, each with its file and key.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    faults: list[str] = []
    for path in paths:
        _merge(merged, _read(Path(path), faults), origin, str(path))
    for text in overrides:
        _merge(merged, _override(text, faults), origin, f"--set {text}")
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        faults += [_fault(e, origin) for e in error.errors()]
    if faults:
        raise ConfigError("the configuration must be valid. Faults:\n" + "\n".join(f"  {f}" for f in faults))
    return config


def _read(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(f"{path}: the file does not exist")
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.append(f"{path}: must be readable YAML. Got {' '.join(str(error).split())}")
        return {}
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(f"{path}: must hold a mapping of keys. Got {type(data).__name__}")
        return {}
    return data


def _override(text: str, faults: list[str]) -> dict[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        faults.append(f"--set {text}: must be KEY=VALUE, such as embed.batch_size=64")
        return {}
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        faults.append(f"--set {text}: the value must be YAML. Got {value!r}")
        return {}
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _merge(into: dict[str, Any], data: Mapping[str, Any], origin: dict[str, str], source: str, at: str = "") -> None:
    for key, value in data.items():
        path = f"{at}{key}"
        origin[path] = source
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and value.get("kind") is None:
            _merge(into[key], value, origin, source, f"{path}.")
        else:
            into[key] = value


def _fault(error: Any, origin: Mapping[str, str]) -> str:
    where = [str(part) for part in error["loc"]]
    known = [origin[".".join(where[:n])] for n in range(len(where), 0, -1) if ".".join(where[:n]) in origin]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is not a known key; conf/base.yaml lists them all"
    key = ".".join(where) or "(the whole)"
    return f"{known[0] if known else 'defaults'}: {key}: {message}. Got {_short(error.get('input'))}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _dig(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data
