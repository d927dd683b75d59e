"""The first configuration of a folder of images: its corpora, their metadata and roles, as YAML to be edited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from twigma_spark.errors import CorpusError
from twigma_spark.io import local_files
from twigma_spark.stages.readers.folder import find_metadata
from twigma_spark.stages.readers.inspection import columns_to_name, corpus_name, count_images, guess_columns, guess_role

HEAD = """\
# Written by `twigma init`; conf/base.yaml lists every key with its default. Paths start at the working directory.
# role: posts (what is asked about), generated, natural or art (what it is compared with).
"""


@dataclass(frozen=True)
class ImageFolder:
    """A folder with images, and what describes them where something does."""

    folder: Path
    images: int
    metadata: Path | None
    columns: dict[str, str]


def write_configuration(folder: Path, out: Path) -> str:
    """Return the text of a configuration of a folder's images, written to `out`.

    A folder of images is one corpus; one of folders with images a corpus for each of them.

    Raises:
        CorpusError: the folder holds no images, or `out` exists.
    """
    if out.exists():
        raise CorpusError(f"--out must be a new file. Got {str(out)!r}, which exists.")
    if not folder.is_dir():
        raise CorpusError(f"PATH must be a folder of images. Got {str(folder)!r}, which is {folder.absolute()}.")
    folders = list(_find(folder))
    if not folders:
        kinds = ", ".join(local_files.IMAGE_SUFFIXES)
        raise CorpusError(f"PATH must hold images ({kinds}). Got none in {str(folder)!r}.")
    corpora = [_corpus(each, only=len(folders) == 1) for each in folders]
    if not any(corpus["role"] == "posts" for corpus in corpora):
        corpora[0]["role"] = "posts"
    name = corpus_name(folder)
    posts = sum(each.images for each, corpus in zip(folders, corpora, strict=True) if corpus["role"] == "posts")
    data: dict[str, object] = {"store": {"root": f"build/{name}/tables"}, "corpora": corpora}
    if posts < 100:  # the default of ten themes needs some images each
        every = min(4, max(2, sum(each.images for each in folders) // 10))
        roles = ["posts", "generated", "natural", "art"]
        data["cluster"] = {
            "clusterings": [
                {"id": "origins", "roles": roles, "k": every, "themes": False},
                {"id": "themes", "roles": ["posts"], "k": max(2, posts // 10), "themes": True},
            ]
        }
    data["report"] = {"path": f"build/{name}/report.html", "title": folder.resolve().name}
    text = HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    out.write_text(text, encoding="utf-8")
    return text


def _find(folder: Path) -> Iterator[ImageFolder]:
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    own = any(path.is_file() and local_files.is_image(path.name) for path in folder.iterdir())
    with_images = [] if own else [path for path in below if count_images(path)]
    for place in with_images if len(with_images) > 1 else [folder]:
        if images := count_images(place):
            metadata, head = find_metadata(place)
            yield ImageFolder(place, images, metadata, {} if head is None else guess_columns(head.columns))


def _corpus(images: ImageFolder, only: bool) -> dict[str, object]:
    corpus: dict[str, object] = {
        "name": corpus_name(images.folder),
        "role": "posts" if only else guess_role(images.folder.name),
        "path": str(images.folder),
    }
    if images.metadata is not None:
        corpus["metadata"] = str(images.metadata)
        if other := columns_to_name(images.columns):
            corpus["columns"] = other
    return corpus
