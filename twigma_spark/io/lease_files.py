"""Leases as files of a folder, made whole and only where there is none."""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

from twigma_spark.io.lease import EXPIRES, FOLDER, Found, boot_id, parse


class LocalLeases:
    """Leases in a folder of this machine, or in one that is mounted.

    The holder's file is also locked as long as its process lives. So a run that was killed is seen at once by others
    on the same machine; on another one only its heartbeat tells.

    Args:
        root: folder of the store.
    """

    expires = EXPIRES

    def __init__(self, root: str) -> None:
        self.folder = Path(root) / FOLDER
        self._own: int | None = None

    def numbers(self) -> list[int]:
        """Return the numbers of the leases that there are."""
        return [int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit()]

    def read(self, number: int) -> Found | None:
        """Return a lease, or None where there is none."""
        path = self._path(number)
        try:
            content, changed = path.read_text(encoding="utf-8", errors="replace"), path.stat().st_mtime
        except FileNotFoundError:
            return None
        return Found(content, time.time() - changed, _is_locked(path) if _is_of_this_machine(content) else None)

    def create(self, number: int, content: str) -> bool:
        """Return whether the lease was made: False where there was one, whoever made it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{uuid.uuid4().hex}"
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        try:
            os.write(descriptor, content.encode())
            with suppress(OSError):  # a file system without locks: then only the heartbeat tells
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            created = _link(part, self._path(number))
        finally:
            part.unlink(missing_ok=True)
        if created:
            self._close()
            self._own = descriptor
        else:
            os.close(descriptor)
        return created

    def renew(self, number: int, content: str) -> None:
        """Give the holder's own lease the time of now; one that somebody removed is made again."""
        try:
            os.utime(self._path(number))
        except FileNotFoundError:
            self._close()
            self.create(number, content)
        except OSError:  # a mounted store whose files have only the time of their content
            self._path(number).write_text(content, encoding="utf-8")

    def release(self, number: int, content: str) -> None:
        """Replace the holder's own lease by what is left of it."""
        path = self._path(number)
        if path.exists():
            part = self.folder / f".{uuid.uuid4().hex}"
            part.write_text(content, encoding="utf-8")
            part.replace(path)
        self._close()

    def remove(self, number: int) -> None:
        """Remove a lease that no longer counts."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:012d}.json"

    def _close(self) -> None:
        if self._own is not None:
            os.close(self._own)
            self._own = None


def _link(part: Path, path: Path) -> bool:
    """Return whether the whole file `part` is now `path` too; False where there is one."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the file is made first and filled then
        try:
            with path.open("xb") as file:
                file.write(part.read_bytes())
        except FileExistsError:
            return False
    return True


def _is_of_this_machine(content: str) -> bool:
    holder = parse(content)
    return holder is not None and holder.boot != "" and holder.boot == boot_id()


def _is_locked(path: Path) -> bool | None:
    """Return whether the process that locked a file lives; None where files cannot be locked."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)
