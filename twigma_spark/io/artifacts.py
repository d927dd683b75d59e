"""Files that are not tables: where they are kept, whether one can be used again, one copy a node."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twigma_spark.errors import ConfigError
from twigma_spark.io.local_files import is_elsewhere

PIECE = 16 << 20


@dataclass(frozen=True)
class Artifact:
    """A row of `artifacts`: a file, its checksum and what it was made from.

    Attributes:
        artifact_id: name of the file's row, such as neighbours/photo/0.
        kind: faiss_index and the like.
        path: of the file; companions stand beside it under the same stem.
        checksum: SHA-256 of the file and its companions.
        manifest: what it was made from and how, as JSON with sorted keys; an equal one makes an equal file.
    """

    artifact_id: str
    kind: str
    path: str
    checksum: str
    manifest: str


def folder(root: str, configured: str | None) -> Path:
    """Return the folder of the files: the configured one, or `_artifacts` in a store that is a folder.

    Raises:
        ConfigError: where the store is no folder and none is configured.
    """
    if configured is None and is_elsewhere(root):
        raise ConfigError(
            f"store.artifacts must be a folder where store.root is none. Got null beside {root!r}; name one that the "
            "driver can write and, for neighbours.search.where: executors, all workers can read, such as /Volumes/..."
        )
    return Path(configured) if configured is not None else Path(root).absolute() / "_artifacts"


def manifest(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON that is equal for equal facts."""
    return json.dumps(facts, sort_keys=True)


def with_companions(path: Path) -> list[Path]:
    """Return a file and its companions (same stem), in the order of their names; those that are there."""
    return sorted(path.parent.glob(f"{path.stem}.*"))


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file and its companions (same stem), in the order of their names."""
    digest = hashlib.sha256()
    for part in with_companions(path):
        with part.open("rb") as stream:
            while piece := stream.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


def reusable(known: Iterable[Artifact], artifact_id: str, wanted: str) -> Artifact | None:
    """Return the artifact that was made from the same things and whose file is still the same, or None."""
    for artifact in known:
        if artifact.artifact_id == artifact_id and artifact.manifest == wanted:
            path = Path(artifact.path)
            return artifact if path.exists() and checksum(path) == artifact.checksum else None
    return None


def local_copy(path: str, digest: str, cache: str | None) -> str:
    """Return the path of this node's copy of a file and its companions; without a cache, the path itself.

    All processes of a node share one copy: the first makes it while the others wait.

    Args:
        path: the file, as all nodes can read it.
        digest: its checksum, which names the copy.
        cache: a folder on the node's own disk.
    """
    if cache is None:
        return path
    source, target = Path(path), Path(cache) / f"{digest}{Path(path).suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            # The file itself comes last: where it is, its companions are too.
            parts = sorted(with_companions(source), key=lambda part: part == source)
            for part in parts:
                copy = target.with_suffix(part.suffix)
                shutil.copyfile(part, copy.with_suffix(f"{part.suffix}.part"))
                copy.with_suffix(f"{part.suffix}.part").replace(copy)
    return str(target)
