"""Files at URLs: listed, read, written and removed; of S3 by Arrow's own client, of other storages by fsspec."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from twigma_spark.io import local_files
from twigma_spark.io.lease_s3 import SCHEMES, SETTINGS, TLS
from twigma_spark.io.local_files import URL, mount_path
from twigma_spark.io.session import setting

# How S3 is reached: settings of the session and their values. They can be hashed, and travel to the workers.
Settings = tuple[tuple[str, str], ...]
PIECE = 16 << 20
S3A = "spark.hadoop.fs.s3a."
KEYS = {"access_key": "access.key", "secret_key": "secret.key", "session_token": "session.token"}


def settings_of(spark: SparkSession) -> Settings:
    """Return what the session is told of how S3 is reached: so are the files of this module."""
    return tuple((key, value) for key in SETTINGS if (value := setting(spark, key)))


def why_unusable(url: str) -> Exception | None:
    """Return why there is no driver for a URL, or None; whether the storage lets us in is not tried."""
    try:
        if url.startswith(SCHEMES):
            import_module("pyarrow.fs").S3FileSystem  # noqa: B018 - Arrow may be built without it
        else:
            import_module("fsspec").get_filesystem_class(url.partition(":")[0])
    except (ImportError, ValueError, AttributeError) as error:
        return error
    return None


def write_url(url: str, content: bytes, settings: Settings = ()) -> None:
    """Write an object; an object store shows it once it is whole."""
    files, path = _open(url, settings)
    with files.open_output_stream(path) as stream:
        stream.write(content)


def upload(file: Path, url: str, settings: Settings = ()) -> None:
    """Write a file of this machine to a URL, in pieces.

    Whoever reads it must know its checksum: of a file that can no longer be read half of it may be there.
    """
    files, path = _open(url, settings)
    with file.open("rb") as source, files.open_output_stream(path) as target:
        shutil.copyfileobj(source, target, PIECE)


def download(url: str, file: Path, settings: Settings = ()) -> None:
    """Write what is at a URL to a file of this machine.

    Raises:
        FileNotFoundError: there is nothing.
    """
    files, path = _open(url, settings, makes_folders=False)
    with files.open_input_stream(path) as source, file.open("wb") as target:
        shutil.copyfileobj(source, target, PIECE)


def read_file(path: str, settings: Settings = ()) -> bytes:
    """Return the content of a small file of this machine or at a URL.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    with open_file(path, settings) as file:
        return bytes(file.read())


def open_file(path: str, settings: Settings = ()) -> Any:
    """Return a file of this machine or at a URL, opened to be read in any order; of a URL only what is read comes.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    local = mount_path(path)
    if not URL.match(local):
        return Path(local).open("rb")
    files, inside = _open(local, settings, makes_folders=False)
    return files.open_input_file(inside)


def fingerprint(path: str, settings: Settings = ()) -> str:
    """Return what changes with a file of this machine or at a URL, from its size and time; "missing" without one."""
    local = mount_path(path)
    if not URL.match(local):
        return local_files.fingerprint(local) or "missing"
    files, inside = _open(local, settings, makes_folders=False)
    info = files.get_file_info(inside)
    return f"{info.size} bytes, {info.mtime}" if info.is_file else "missing"


def list_url(folder: str, settings: Settings = ()) -> list[str]:
    """Return the names of all files below a URL, relative to it and in order; none where there is nothing."""
    files, path = _open(folder, settings, makes_folders=False)
    fs = import_module("pyarrow.fs")
    infos = files.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    inside = path.strip("/") + "/"
    names = (each.path.lstrip("/").removeprefix(inside) for each in infos if each.type == fs.FileType.File)
    # Arrow marks a folder of S3 by an empty object whose name ends with a slash.
    return sorted(name for name in names if not name.endswith("/"))


def remove_url(url: str, settings: Settings = ()) -> int:
    """Return 1 where there was a file at a URL, which is gone now, else 0."""
    files, path = _open(url, settings, makes_folders=False)
    try:
        files.delete_file(path)
    except FileNotFoundError:
        return 0
    return 1


def remove_below(folder: str, settings: Settings = ()) -> int:
    """Return how many files below a URL were removed: all."""
    names = list_url(folder, settings)
    if names:
        files, path = _open(folder, settings, makes_folders=False)
        files.delete_dir(path)
    return len(names)


def _open(url: str, settings: Settings, makes_folders: bool = True) -> tuple[Any, str]:
    """Return Arrow's file system for a URL, and the path in it; the folder of the path is there, unless told not to."""
    if url.startswith(SCHEMES):
        # Objects of S3 need no folders.
        path = url.partition("://")[2].rstrip("/")
        return _s3(path.partition("/")[0], settings), path
    fs, core = import_module("pyarrow.fs"), import_module("fsspec.core")
    opened, path = core.url_to_fs(url)
    if makes_folders:
        opened.makedirs(path.rpartition("/")[0], exist_ok=True)
    return fs.PyFileSystem(fs.FSSpecHandler(opened)), path


def _s3(bucket: str, settings: Settings) -> Any:
    """Return Arrow's client of S3, told what Spark is; else what the environment or the machine's role says."""
    of_spark = dict(settings)
    endpoint = of_spark.get(f"{S3A}endpoint") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    region = of_spark.get(f"{S3A}endpoint.region") or _environment("AWS_REGION", "AWS_DEFAULT_REGION")
    options: dict[str, str | None] = {}
    if of_spark.get(f"{S3A}access.key"):
        options = {name: of_spark.get(f"{S3A}{key}") for name, key in KEYS.items()}
    if endpoint:
        options["endpoint_override"] = endpoint.partition("://")[2] if "://" in endpoint else endpoint
        plain = endpoint.startswith("http://") or ("://" not in endpoint and of_spark.get(TLS) == "false")
        options["scheme"] = "http" if plain else "https"
    if region or endpoint:
        options["region"] = region or "us-east-1"
    return _client(None if "region" in options else bucket, tuple(options.items()))


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


@lru_cache(maxsize=8)
def _client(bucket: str | None, options: tuple[tuple[str, str | None], ...]) -> Any:
    """Return a client, in the region of a bucket where one is named."""
    fs, arguments = import_module("pyarrow.fs"), dict(options)
    if bucket is not None:
        with suppress(OSError):  # the client then takes its own default, and says what it cannot reach
            arguments["region"] = str(fs.resolve_s3_region(bucket))
    return fs.S3FileSystem(**arguments)
