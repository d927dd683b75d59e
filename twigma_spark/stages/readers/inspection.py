"""What a reader sees of a path without Spark, for `twigma inspect` and for the refusal of a wrong layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from twigma_spark.config.data import Columns, Corpus
from twigma_spark.config.section import Role
from twigma_spark.errors import CorpusError
from twigma_spark.io import local_files, peek

# Other names under which a column is known, in lower case; the first that is there is taken.
NAMES: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "file_name", "filename", "image", "path", "name", "image_path", "image_file", "image_name"),
    "url": ("url", "image_url", "jpg_url"),
    "prompt": ("prompt", "text"),
    "prompt_id": ("prompt_id",),
    "artist": ("artist", "painter", "author", "creator"),
    "genre": ("genre", "style"),
    "title": ("title", "label"),
    "caption": ("caption", "description", "captions", "top_caption"),
    "created_at": ("created_at", "date", "created", "timestamp", "year"),
    "post_id": ("post_id", "tweet_id"),
    "author_id": ("author_id", "author", "user_id"),
    "author_followers": ("author_followers", "followers"),
    "like_count": ("like_count", "likes"),
    "quote_count": ("quote_count",),
    "reply_count": ("reply_count",),
    "sensitive": ("sensitive", "possibly_sensitive"),
}

# Words in a folder's name that tell a role; the first that fits.
ROLES: Mapping[Role, tuple[str, ...]] = {
    "art": ("art", "paint", "drawing", "museum", "wikiart"),
    "natural": ("photo", "natural", "laion", "camera", "real"),
    "generated": ("generated", "diffusion", "synthetic", "midjourney", "dalle", "flux"),
}


@dataclass(frozen=True)
class Inspection:
    """What a reader sees.

    Attributes:
        keys: of the corpus in YAML, but for its name, role and reader: path and what differs from the defaults.
        role: that it seems to have.
        counts: how many there are, by what: images, rows, archives.
        columns: that the metadata has.
        rows: the first ones, values as text.
        faults: sentences on what is wrong or will be left out.
    """

    keys: Mapping[str, object]
    role: Role
    counts: Mapping[str, int]
    columns: tuple[str, ...] = ()
    rows: tuple[Mapping[str, str], ...] = ()
    faults: tuple[str, ...] = field(default=())


def guess_columns(there: tuple[str, ...], names: Mapping[str, tuple[str, ...]] = NAMES) -> dict[str, str]:
    """Return the columns of a file by ours, as their names let guess."""
    known = {name.lower(): name for name in there[::-1]}
    return {ours: known[n] for ours, others in names.items() for n in others[::-1] if n in known}


def columns_to_name(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns whose names the configuration must give, since they are not the default."""
    default = Columns().model_dump()
    return {ours: name for ours, name in columns.items() if default[ours] != name}


def guess_role(name: str) -> Role:
    """Return the role that the words of a folder's name tell, posts where they tell none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((role for role, known in ROLES.items() if any(w.startswith(k) for w in words for k in known)), "posts")


def corpus_name(folder: Path) -> str:
    """Return a name for a corpus: lower-case letters, digits and _."""
    plain = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")[:32]
    return plain if plain[:1].isalpha() else f"images_{plain}"[:32].strip("_")


def count_images(folder: Path) -> int:
    """Return how many image files are below a folder, of MOST_FILES files at most."""
    files = islice(local_files.list_files(str(folder)), peek.MOST_FILES)
    return sum(local_files.is_image(file.key) for file in files)


def preset_columns(corpus: Corpus, **names: str | None) -> Corpus:
    """Return a corpus with the names of columns that its reader knows; those of the configuration win.

    What the reader knows may be missing without a word, unlike what the configuration names.
    """
    named = corpus.columns.model_dump(exclude_unset=True)
    values = {**Columns().model_dump(), **names, **named}
    columns = Columns.model_construct(_fields_set=set(corpus.columns.model_fields_set), **values)
    return corpus.model_copy(update={"columns": columns})


def require_layout(fits: bool, corpus: Corpus, key: str, expected: str) -> None:
    """Refuse a corpus whose files do not lie as its reader expects.

    Args:
        fits: whether they do; what is not on this machine fits until it is read.
        corpus: read.
        key: path or metadata, which holds the files.
        expected: the layout, in words.

    Raises:
        CorpusError: names the reader, what it expected and what it found.
    """
    path = str(getattr(corpus, key))
    if not fits and local_files.is_local(path):
        raise CorpusError(
            f"corpus '{corpus.name}': {key} must be {expected} for the reader {corpus.reader}. Got {path!r}, "
            f"{peek.describe(Path(path))}. `twigma inspect {path}` says what it is."
        )
