"""Files on this machine: which there are, and how much lies there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

URL = re.compile(r"^\w+:/")  # s3://, dbfs:/ and the like
CATALOG = re.compile(r"^\w+\.\w+$")  # catalog.schema, and many a file's name
TABLE = re.compile(r"^\w+\.\w+\.\w+$")  # catalog.schema.table

# Of metadata files.
CSV_SUFFIXES, JSON_SUFFIXES = (".csv", ".tsv"), (".jsonl", ".ndjson")
# What a path must be that is no URL, in words.
ON_THIS_MACHINE = "on this machine, or mounted there like /Volumes"
IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")


class LocalFile(NamedTuple):
    """A file, or a folder that cannot be listed.

    Attributes:
        path: as the operating system has it, which need not be UTF-8.
        key: the path below the folder that was listed; bytes that are not UTF-8 in hexadecimal.
        n_bytes: its size.
        changed: time of its last change, in nanoseconds since 1970.
        fault: why it cannot be read (a reason of `rejects`), else None.
    """

    path: bytes
    key: str
    n_bytes: int
    changed: int
    fault: str | None = None


def mount_path(path: str) -> str:
    """Return the path on this machine of a dbfs:/ or file:/ URL, as Databricks mounts it; any other as it is."""
    if path.startswith("file:/"):
        return "/" + path.removeprefix("file:").lstrip("/")
    if not path.startswith("dbfs:/"):
        return path
    inside = "/" + path.removeprefix("dbfs:").lstrip("/")
    return inside if inside.startswith("/Volumes/") else "/dbfs" + inside


def is_local(path: str) -> bool:
    """Return whether a path exists on this machine."""
    return not URL.match(path) and Path(path).exists()


def is_elsewhere(path: str) -> bool:
    """Return whether a path is a URL, or a schema of a catalog and no file of this machine."""
    return bool(URL.match(path) or (CATALOG.match(path) and not Path(path).exists()))


def is_table_name(path: str) -> bool:
    """Return whether a path is the name of a table of the catalog, and no file."""
    return bool(TABLE.match(path)) and not Path(path).exists()


def is_image(key: str) -> bool:
    """Return whether a file's name ends as that of an image."""
    return key.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def list_files(path: str, follow_links: bool = True) -> Iterator[LocalFile]:
    """Yield every file at and below `path`, whatever its name; folders only where they cannot be listed.

    Links are followed; one that leads nowhere is a ``dangling_link``, one to a folder that it lies in a
    ``link_circle``, a folder that may not be read an ``unreadable_folder``, and what is neither file nor folder
    ``not_a_file``.

    Args:
        path: a file or a folder of this machine; one that does not exist has no files.
        follow_links: whether links out of the folder are followed; where not, each is a ``link_out_of_corpus``.
    """
    root = Path(path)
    inside = None if follow_links else os.path.realpath(root)
    try:
        status = root.stat()
    except OSError:
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _below(str(root), str(root), inside, ((status.st_dev, status.st_ino),))
    else:
        yield LocalFile(os.fsencode(root), as_utf8(root.name), status.st_size, status.st_mtime_ns)


def hold_at_most(paths: Iterable[str], most_bytes: int) -> bool:
    """Return whether the files at and below `paths` are on this machine and take at most `most_bytes` together.

    Listing ends at the limit. A path that does not exist takes nothing; what is not a local path is never small.
    """
    total = 0
    for path in paths:
        if is_elsewhere(path):
            return False
        for file in list_files(path):
            total += file.n_bytes
            if total > most_bytes:
                return False
    return True


def fingerprint(path: str, follow_links: bool = True) -> str | None:
    """Return a hash of names, sizes and times of the files at and below `path`; None where it is not on this machine.

    Contents are not read, and no file is left out for its name.
    """
    if not is_local(path):
        return None
    files = sorted((file.path, file.n_bytes, file.changed, file.fault) for file in list_files(path, follow_links))
    return f"{len(files)} files, {hashlib.sha256(repr(files).encode()).hexdigest()[:16]}"


def read_bytes(path: bytes, at_most: int) -> bytes | None:
    """Return the content of a file; None where it is longer than `at_most`.

    Raises:
        OSError: it cannot be read, or is gone.
    """
    with Path(os.fsdecode(path)).open("rb") as file:
        content = file.read(at_most + 1)
    return content if len(content) <= at_most else None


def read_part(path: bytes, start: int, n_bytes: int) -> bytes:
    """Return a part of a file.

    Raises:
        OSError: it cannot be read, is gone, or ends before.
    """
    with Path(os.fsdecode(path)).open("rb") as file:
        file.seek(start)
        content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise OSError(errno.EIO, f"ends after {len(content):,} of {n_bytes:,} bytes")
    return content


def as_utf8(name: str) -> str:
    """Return a name as the operating system gave it with bytes that are not UTF-8 in hexadecimal."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _below(folder: str, root: str, inside: str | None, parents: tuple[tuple[int, int], ...]) -> Iterator[LocalFile]:
    """Yield the files below a folder; `parents` are the device and inode of it and of those above it."""

    def faulty_file(path: str, fault: str, end: str = "") -> LocalFile:
        return LocalFile(os.fsencode(path), as_utf8(os.path.relpath(path, root)) + end, 0, 0, fault)

    try:
        with os.scandir(folder) as entries:
            names = list(entries)
    except OSError:
        yield faulty_file(folder, "unreadable_folder", "/")
        return
    for entry in names:
        if inside is not None and entry.is_symlink() and not lies_in(os.path.realpath(entry.path), inside):
            yield faulty_file(entry.path, "link_out_of_corpus")
            continue
        try:
            status = entry.stat()
        except OSError:
            yield faulty_file(entry.path, "dangling_link" if entry.is_symlink() else "unreadable_file")
            continue
        place = (status.st_dev, status.st_ino)
        if place in parents:
            yield faulty_file(entry.path, "link_circle", "/")
        elif stat.S_ISDIR(status.st_mode):
            yield from _below(entry.path, root, inside, (*parents, place))
        elif not stat.S_ISREG(status.st_mode):
            yield faulty_file(entry.path, "not_a_file")
        else:
            key = as_utf8(os.path.relpath(entry.path, root))
            yield LocalFile(os.fsencode(entry.path), key, status.st_size, status.st_mtime_ns)


def lies_in(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it; both absolute and without links."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
