"""Files that are not tables: where they are kept, whether one can be used again, one copy a node."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twigma_spark.errors import ConfigError, StoreError
from twigma_spark.io.local_files import URL, is_elsewhere, mount_path
from twigma_spark.io.url_files import Settings, download, list_url, remove_below, remove_url, upload

PIECE = 16 << 20
# In the system's folder for temporary files: copies of what is kept at URLs, and what is on its way there.
COPIES, UNFINISHED = "copies", "unfinished"
COPY = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Artifact:
    """A row of `artifacts`: a file, its checksum and what it was made from.

    Attributes:
        artifact_id: name of the file's row, such as neighbours/photo/0.
        kind: faiss_index and the like.
        path: of the file, or its URL; companions stand beside it under the same stem.
        checksum: SHA-256 of the file and its companions.
        manifest: what it was made from and how, as JSON with sorted keys; an equal one makes an equal file.
    """

    artifact_id: str
    kind: str
    path: str
    checksum: str
    manifest: str


@dataclass(frozen=True)
class ArtifactFolder:
    """Where the files of a store are kept: a folder of this machine, or a URL.

    Attributes:
        place: the folder, or the URL.
        settings: how S3 is reached.
        cache: folder for this node's copies of what is kept elsewhere; None for one of the system's temporary files.
    """

    place: str
    settings: Settings = field(default=(), repr=False)
    cache: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the files are kept at a URL."""
        return bool(URL.match(self.place))

    @property
    def local(self) -> Path:
        """Folder of this machine in which files are made: the same one, or one whose whole files are uploaded."""
        if not self.is_remote:
            return Path(self.place)
        return temporary(UNFINISHED) / hashlib.sha256(self.place.encode()).hexdigest()[:16]

    def url(self, file: Path) -> str:
        """Return where a file is kept that was made in `local`."""
        return f"{self.place.rstrip('/')}/{file.relative_to(self.local).as_posix()}" if self.is_remote else str(file)

    def publish(
        self, artifact_id: str, kind: str, file: Path, manifest: str, files: Sequence[Path] | None = None
    ) -> Artifact:
        """Return the artifact of a file that was made in `local`, uploaded where it is kept at a URL.

        Args:
            artifact_id: name of its row.
            kind: what it is.
            file: the file; its checksum is that of its companions too.
            manifest: what it was made from.
            files: in the order in which they are uploaded; the last one says that all are there. None for the
                companions and then the file.
        """
        digest = checksum(file)
        if self.is_remote:
            parts = list(files or sorted(with_companions(file), key=lambda part: part == file))
            for name in set(_at_url(self.url(file), self.settings, whole=False)) - {part.name for part in parts}:
                remove_url(f"{self.url(file).rpartition('/')[0]}/{name}", self.settings)  # of an older model
            for part in parts:
                upload(part, self.url(part), self.settings)
            _adopt(file, digest, self.cache)
            for part in parts:
                part.unlink(missing_ok=True)
        return Artifact(artifact_id, kind, self.url(file), digest, manifest)

    def open(self, artifact: Artifact) -> Path:
        """Return the file of an artifact on this machine."""
        return Path(local_copy(artifact.path, artifact.checksum, self.cache if self.is_remote else None, self.settings))


def folder(root: str, configured: str | None, settings: Settings = (), cache: str | None = None) -> ArtifactFolder:
    """Return where the files are kept: as configured, or in `_artifacts` of a store that is a folder or a URL.

    Args:
        root: of the store.
        configured: a folder, a URL, or None.
        settings: how S3 is reached.
        cache: folder for this node's copies.

    Raises:
        ConfigError: where the store is a schema of a catalog, and no place is configured.
    """
    if configured is None and is_elsewhere(root) and not URL.match(root):
        raise ConfigError(
            f"store.artifacts must be a folder or a URL where store.root is neither. Got null beside {root!r}; name "
            "one that the driver can write and, for neighbours.search.where: executors, all workers can read, such "
            "as /Volumes/... or s3://..."
        )
    place = mount_path(configured if configured is not None else f"{root.rstrip('/')}/_artifacts")
    if configured is None and not URL.match(place):
        place = str(Path(place).absolute())
    return ArtifactFolder(place, settings, cache)


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


def reusable(known: Iterable[Artifact], artifact_id: str, wanted: str, where: ArtifactFolder) -> Artifact | None:
    """Return the artifact that was made from the same things and whose file is still the same, or None."""
    for artifact in known:
        if artifact.artifact_id == artifact_id and artifact.manifest == wanted:
            return artifact if _is_whole(artifact, where) else None
    return None


def _is_whole(artifact: Artifact, where: ArtifactFolder) -> bool:
    if not URL.match(artifact.path):
        path = Path(artifact.path)
        return path.exists() and checksum(path) == artifact.checksum
    try:
        # Workers fetch it from there: a copy on this machine is not enough.
        return bool(_at_url(artifact.path, where.settings)) and where.open(artifact).exists()
    except (FileNotFoundError, StoreError):
        return False


def local_copy(path: str, digest: str, cache: str | None, settings: Settings = ()) -> str:
    """Return the path of this node's copy of a file and its companions; without a cache, the path of a local file.

    All processes of a node share one copy: the first makes it while the others wait.

    Args:
        path: the file, as all nodes can read it, or a URL.
        digest: its checksum, which names the copy.
        cache: a folder on the node's own disk; None takes one of the system's temporary files for what is at a URL.
        settings: how S3 is reached.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: at the URL lies another file, or half of it.
    """
    is_url = bool(URL.match(path))
    if cache is None and not is_url:
        return path

    def fill(new: Path) -> None:
        _fetch(path, new, settings) if is_url else _copy(Path(path), new)
        name = new / path.rpartition("/")[2]
        if not name.exists():
            raise FileNotFoundError(path)
        if is_url and checksum(name) != digest:
            raise StoreError(f"{path} must be the file of its row in `artifacts`. Got another, or half of it.")

    return str(_keep_copy(digest, cache, fill) / path.rpartition("/")[2])


def remove(path: str, settings: Settings = ()) -> int:
    """Return how many files were removed: a file, or what lies at a URL, and its companions, which have its stem."""
    if URL.match(path):
        base = path.rpartition("/")[0]
        return sum(remove_url(f"{base}/{name}", settings) for name in _at_url(path, settings, whole=False))
    place = Path(path)
    if place.is_dir():
        n = sum(1 for each in place.rglob("*") if each.is_file())
        shutil.rmtree(place)
        return n
    there = [part for part in with_companions(place) if part.is_file()]
    for part in there:
        part.unlink()
    return len(there)


def remove_all(place: str, settings: Settings = ()) -> int:
    """Return how many files were removed below a folder or a URL: all."""
    return remove_below(place, settings) if URL.match(place) else remove(place)


def names(where: ArtifactFolder) -> list[str]:
    """Return the names of the files that are kept in a folder or at a URL, without those in folders below it."""
    if where.is_remote:
        return [name for name in list_url(where.place, where.settings) if "/" not in name]
    return sorted(each.name for each in Path(where.place).glob("*") if each.is_file())


def remove_copies(cache: str | None = None) -> int:
    """Return how many files were removed: all copies of artifacts in a cache on this machine.

    Those of older artifacts, which no row names any more, are among them. Each is made again where it is needed.
    """
    copies = Path(cache) if cache is not None else temporary(COPIES)
    return sum(remove(str(each)) for each in copies.glob("*") if COPY.match(each.name))


def temporary(name: str) -> Path:
    """Return a folder of this user among the system's temporary files, closed to others.

    Raises:
        ConfigError: it is another's.
    """
    place = Path(tempfile.gettempdir()) / f"twigma-spark-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        raise ConfigError(f"{place} must be a folder of this user alone. Got another's; set TMPDIR to a folder.")
    (place / name).mkdir(exist_ok=True)
    return place / name


def _at_url(url: str, settings: Settings, whole: bool = True) -> list[str]:
    """Return the names of a file at a URL and its companions; none, if asked for whole, where the file is not there."""
    base, _, name = url.rpartition("/")
    stem = name.rpartition(".")[0] or name
    there = [each for each in list_url(base, settings) if each.startswith(f"{stem}.") and "/" not in each]
    return there if name in there or not whole else []


def _fetch(url: str, new: Path, settings: Settings) -> None:
    for name in _at_url(url, settings):
        download(f"{url.rpartition('/')[0]}/{name}", new / name, settings)


def _copy(file: Path, new: Path) -> None:
    for part in with_companions(file):
        shutil.copyfile(part, new / part.name)


def _adopt(file: Path, digest: str, cache: str | None) -> None:
    """Make a file that was uploaded, with its companions, this node's copy, so that it need not be fetched."""

    def fill(new: Path) -> None:
        for part in with_companions(file):
            shutil.move(part, new / part.name)

    _keep_copy(digest, cache, fill)


def _keep_copy(digest: str, cache: str | None, fill: Callable[[Path], None]) -> Path:
    """Return the folder of this node's copy; where there is none, `fill` gets an empty one, while others wait."""
    copies = Path(cache) if cache is not None else temporary(COPIES)
    copies.mkdir(parents=True, exist_ok=True)
    with (copies / f".{digest[:16]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (copies / digest).exists():
            with tempfile.TemporaryDirectory(prefix=f".{digest[:16]}-", dir=copies) as scratch:
                new = Path(scratch) / "new"
                new.mkdir()
                fill(new)
                new.rename(copies / digest)
    return copies / digest
