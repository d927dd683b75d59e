"""Vectors that clip-retrieval wrote (.npy files with a row an image): what their headers say, and their rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow
from twigma_spark.io.local_files import is_local

EXPECTED = "a folder of img_emb/img_emb_*.npy and metadata/metadata_*.parquet, as clip-retrieval writes them"
# Of vectors of images, of texts, and of the rows that describe both: the folder, the files' ending.
IMAGES, TEXTS, METADATA = "img_emb", "text_emb", "metadata"
SUFFIXES = {IMAGES: ".npy", TEXTS: ".npy", METADATA: ".parquet"}
UNREADABLE = "unreadable_file"
DETAILS = {
    arrow.NOT_FINITE: "NaN, infinity or a number too large to square in its vector",
    arrow.ZERO: "its vector has no direction",
}


@dataclass(frozen=True)
class VectorFiles:
    """The files of a corpus of vectors, paired by their numbers.

    Attributes:
        folders: where the files of each kind lie; TEXTS is missing where no text was embedded.
        rows: by the number in a file's name, as it is written there: how many vectors it has.
        dim: length of the vectors.
    """

    folders: Mapping[str, Path]
    rows: Mapping[str, int]
    dim: int

    @property
    def n_rows(self) -> int:
        """Return how many images there are."""
        return sum(self.rows.values())

    @property
    def n_bytes(self) -> int:
        """Return how many bytes the images' vectors take as float32."""
        return self.n_rows * self.dim * 4

    def path(self, kind: str, number: str) -> Path:
        """Return the file of a kind and number."""
        return self.folders[kind] / f"{kind}_{number}{SUFFIXES[kind]}"


@dataclass(frozen=True)
class Found:
    """Vectors of some rows.

    Attributes:
        vectors: (n, dim) float32 of length 1; 0 where one cannot be used.
        digests: SHA-256 of each vector as it is stored; None where it cannot be read.
        reasons: why one cannot be used, else None.
        details: what was seen, else None.
    """

    vectors: NDArray[np.float32]
    digests: list[str | None]
    reasons: list[str | None]
    details: list[str | None]


def has_vectors(path: Path) -> bool:
    """Return whether files of vectors of images lie at a path."""
    return path.is_dir() and bool(_numbers(_folder(path, IMAGES), IMAGES))


def list_vectors(corpus: str, path: str) -> VectorFiles:
    """Return the files of vectors of a folder; of each only the header is read.

    Raises:
        CorpusError: it is no folder that all nodes see as a disk; a file lacks its metadata; the two have not as many
            rows; a file is no matrix of floats, or of another length than the others.
    """
    root = Path(path).absolute()  # workers may be started elsewhere
    if not is_local(path) or not has_vectors(root):
        raise CorpusError(f"corpus '{corpus}': path must be {EXPECTED}, on a disk that all nodes see. Got {path!r}.")
    folders = {kind: _folder(root, kind) for kind in (IMAGES, METADATA, TEXTS)}
    numbers = {kind: _numbers(folder, kind) for kind, folder in folders.items()}
    if not numbers[TEXTS]:
        del folders[TEXTS], numbers[TEXTS]
    _check_pairs(corpus, numbers)
    files = VectorFiles(folders, {}, 0)
    shapes = {n: _shape(corpus, files.path(IMAGES, n)) for n in numbers[IMAGES]}
    first, dim = next((n, shape[1]) for n, shape in shapes.items())
    for number, shape in shapes.items():
        if shape[1] != dim:
            widths = f"{dim} in {files.path(IMAGES, first).name} and {shape[1]} in {files.path(IMAGES, number).name}"
            raise CorpusError(f"corpus '{corpus}': vectors must be of one length. Got {widths}.")
        if TEXTS in folders:
            _check_equal(corpus, files, number, shape, TEXTS, _shape(corpus, files.path(TEXTS, number)))
        rows = _count_rows(corpus, files.path(METADATA, number))
        _check_equal(corpus, files, number, shape[:1], METADATA, (rows,))
    return VectorFiles(folders, {number: shape[0] for number, shape in shapes.items()}, dim)


def read_vectors(files: VectorFiles, keys: Sequence[str], kind: str = IMAGES) -> Found:
    """Return the vectors of some rows; files are mapped into memory, and only the pages of these rows are read.

    Args:
        files: of a corpus.
        keys: source_keys: the name of a file of images' vectors, the row in it, and what else the reader adds, with
            slashes in between.
        kind: IMAGES or TEXTS: whose vectors are read.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for place, key in enumerate(keys):
        name, row = key.split("/", 2)[:2]
        places.setdefault(number_of(name), []).append((place, int(row)))
    vectors = np.zeros((len(keys), files.dim), np.float32)
    digests: list[str | None] = [None] * len(keys)
    details: list[str | None] = [None] * len(keys)
    for number, wanted in places.items():
        into, rows = (np.array(numbers) for numbers in zip(*wanted, strict=True))
        try:
            stored = np.load(files.path(kind, number), mmap_mode="r", allow_pickle=False)[rows]
            with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinite
                vectors[into] = stored
        except (OSError, ValueError, IndexError) as error:  # gone, cut off or of another shape since it was listed
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            for place in into:
                details[place] = f"{files.path(kind, number).name}: {why}"
            continue
        for place, row in zip(into, stored, strict=True):
            digests[place] = hashlib.sha256(row.tobytes()).hexdigest()
    return _check_rows(vectors, digests, details)


def number_of(name: str) -> str:
    """Return the number in the name of a file, as it is written there."""
    return name.rpartition("_")[2].partition(".")[0]


def _check_rows(vectors: NDArray[np.float32], digests: list[str | None], details: list[str | None]) -> Found:
    checked = arrow.check_vectors(arrow.lists(vectors), vectors.shape[1])
    reasons = [UNREADABLE if why else reason for why, reason in zip(details, checked.reasons, strict=True)]
    said = [why or DETAILS.get(str(reason)) for why, reason in zip(details, reasons, strict=True)]
    return Found(checked.rows / checked.norms[:, None], digests, reasons, said)


def _folder(root: Path, kind: str) -> Path:
    """Return where the files of a kind lie: in the folder of its name, or all in one."""
    return root / kind if (root / kind).is_dir() else root


def _numbers(folder: Path, kind: str) -> list[str]:
    """Return the numbers of the files of a kind, in their order."""
    name = re.compile(rf"{kind}_(\d+){re.escape(SUFFIXES[kind])}")
    numbers = [match[1] for entry in folder.iterdir() if (match := name.fullmatch(entry.name))]
    return sorted(numbers, key=lambda number: (int(number), number))


def _check_pairs(corpus: str, numbers: Mapping[str, Sequence[str]]) -> None:
    """Refuse files without what belongs to them."""
    for kind in numbers:
        if lacking := set(numbers[IMAGES]) ^ set(numbers[kind]):
            there, gone = (kind, IMAGES) if min(lacking) in numbers[kind] else (IMAGES, kind)
            name, other = (f"{k}_{min(lacking)}{SUFFIXES[k]}" for k in (there, gone))
            raise CorpusError(
                f"corpus '{corpus}': each file of vectors must have its files of the same number. Got {name} "
                f"without {other}; {len(lacking):,} files lack another."
            )


def _check_equal(
    corpus: str, files: VectorFiles, number: str, shape: tuple[int, ...], kind: str, other: tuple[int, ...]
) -> None:
    """Refuse two files of a number that have not as many rows, or vectors of other lengths."""
    if shape != other:
        one, two = (f"{' x '.join(f'{n:,}' for n in numbers)}" for numbers in (shape, other))
        raise CorpusError(
            f"corpus '{corpus}': vectors and what describes them must be as many. Got {one} in "
            f"{files.path(IMAGES, number).name} and {two} in {files.path(kind, number).name}."
        )


def _shape(corpus: str, path: Path) -> tuple[int, int]:
    """Return the rows and the length of the vectors of a file."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(f"corpus '{corpus}': {path.name} must be a whole .npy file. Got {error}.") from error
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise CorpusError(
            f"corpus '{corpus}': {path.name} must be a matrix of floats, a row an image. Got {array.dtype} of shape "
            f"{array.shape}."
        )
    return array.shape[0], array.shape[1]


def _count_rows(corpus: str, path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise CorpusError(f"corpus '{corpus}': {path.name} must be a Parquet file. Got {error}.") from error
