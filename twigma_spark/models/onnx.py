"""Any ONNX image network through onnxruntime: an encoder of images, or a classifier that scores them."""

from __future__ import annotations

import hashlib
import mmap
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array, Floats, Loaded, file_digest, local_path
from twigma_spark.models.decode import MAX_PIXELS
from twigma_spark.models.pixels import Pixels, Preparation, prepare, revision
from twigma_spark.vectors import unit_rows

# key = "location", and the length and the bytes of the value
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])(.{1,127})", re.DOTALL)


@dataclass(frozen=True)
class OnnxNet:
    """A network, and what it wants to be fed: (pixel * scale - mean) / std, as float32.

    Attributes:
        path: The .onnx file; "sample:..." names one in the package.
        output: Which of its outputs; may be left out where it has one.
        size: Height and width of its input.
        fit: "squash" or "shortest" (see `pixels.Preparation`).
        interpolation: "bilinear" or "bicubic".
        scale: 1/255 for networks that take 0..1.
        mean: Red, green, blue.
        std: Red, green, blue.
        decode: "fast" or "pillow".
        max_pixels: Larger images are refused.
    """

    path: str
    output: str = ""
    size: int = 224
    fit: str = "squash"
    interpolation: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    decode: str = "fast"
    max_pixels: int = MAX_PIXELS

    @property
    def model_id(self) -> str:
        """Return "onnx/<file>@<digest>/<output>"."""
        file = local_path(self.path)
        return f"onnx/{file.stem}@{_digest(file)}/{self.output or 'only'}"

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/224/squash-bilinear-8d5f0b"."""
        numbers = repr((self.scale, tuple(self.mean), tuple(self.std))).encode()
        tail = f"{self.fit}-{self.interpolation}-{hashlib.sha256(numbers).hexdigest()[:6]}"
        return f"{revision(self.decode, 'fp32', self.size, self.size)}/{tail}"

    def preparation(self) -> Preparation:
        """Return how an image becomes this network's input."""
        return Preparation(self.size, self.size, self.fit, self.interpolation, self.decode, self.max_pixels)


@dataclass(frozen=True)
class OnnxEncoder:
    """An ONNX network as an encoder: bytes of images in, (n, dim) float32 out.

    Attributes:
        net: The network.
        normalise: Whether the vectors are scaled to length 1.
    """

    net: OnnxNet
    normalise: bool = True

    @property
    def model_id(self) -> str:
        """Return the id of the file and its output."""
        return self.net.model_id + ("" if self.normalise else "/raw")

    @property
    def preprocess_rev(self) -> str:
        """Return the preprocessing."""
        return self.net.preprocess_rev

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedOnnxEncoder:
        """Return the network in a session on `device`."""
        return LoadedOnnxEncoder(self, Session(self.net, device, threads))


@dataclass(frozen=True)
class OnnxScorer:
    """An ONNX classifier as a score: the sum of the probabilities of some of its classes.

    Attributes:
        net: The network; its output is (n, len(classes)).
        classes: The names of its columns, in order.
        positive: The names of those that are summed.
    """

    net: OnnxNet
    classes: tuple[str, ...]
    positive: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [name for name in self.positive if name not in self.classes]
        if unknown or not self.positive:
            raise ModelError(f"positive must be some of {', '.join(self.classes)}. Got {self.positive!r}.")

    @property
    def model_id(self) -> str:
        """Return the id of the file, its output, the classes that are summed, and the preprocessing."""
        return f"{self.net.model_id}:{'+'.join(self.positive)}/{self.preprocess_rev}"

    @property
    def preprocess_rev(self) -> str:
        """Return the preprocessing."""
        return self.net.preprocess_rev

    @property
    def consumes(self) -> str:
        """Return "image": it scores bytes of images, not embeddings."""
        return "image"

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedOnnxScorer:
        """Return the classifier in a session on `device`."""
        return LoadedOnnxScorer(self, Session(self.net, device, threads))


class Session:
    """An onnxruntime session that takes uint8 NCHW and gives float32 rows, whatever the file's layout."""

    def __init__(self, net: OnnxNet, device: str, threads: int | None) -> None:
        self.net = net
        self._session = _open(net, device, threads)
        node = self._session.get_inputs()[0]
        self._input = node.name
        self._dtype = _input_dtype(node)
        self._channels_last = _is_channels_last(node.shape, net)
        self._fixed_batch = node.shape[0] if isinstance(node.shape[0], int) else None
        self._output, self.width = _pick_output(self._session, net)
        self._mean = np.array(net.mean, dtype=np.float32).reshape(1, 3, 1, 1)
        self._std = np.array(net.std, dtype=np.float32).reshape(1, 3, 1, 1)

    def run(self, pixels: Array) -> Floats:
        """Return (n, width) float32 for uint8 pixels of shape (n, 3, size, size)."""
        values = (pixels.astype(np.float32) * np.float32(self.net.scale) - self._mean) / self._std
        if self._channels_last:
            values = values.transpose(0, 2, 3, 1)
        feed = np.ascontiguousarray(values, dtype=self._dtype)
        step = self._fixed_batch or max(len(feed), 1)
        rows = [self._run_padded(feed[at : at + step], step) for at in range(0, len(feed), step)]
        return np.concatenate(rows) if rows else np.zeros((0, self.width), np.float32)

    def _run_padded(self, part: Array, size: int) -> Floats:
        """Return the rows of `part`, which is filled up to the batch that the file insists on."""
        missing = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
        full = np.concatenate([part, missing]) if len(missing) else part
        out = self._session.run([self._output], {self._input: full})[0]
        return np.asarray(out, dtype=np.float32).reshape(size, -1)[: len(part)]


class LoadedOnnxEncoder(Loaded):
    """An ONNX encoder in memory."""

    def __init__(self, spec: OnnxEncoder, session: Session) -> None:
        self._session = session
        self._how = spec.net.preparation()
        self._normalise = spec.normalise
        self.dim = session.width

    def prepare(self, item: bytes) -> Pixels:
        """Return an image as uint8 of shape (3, size, size)."""
        return prepare(item, self._how)

    def forward(self, batch: Array) -> Floats:
        """Return vectors, (n, dim) float32, for uint8 pixels of shape (n, 3, size, size)."""
        rows = self._session.run(batch)
        return unit_rows(rows) if self._normalise else rows

    def empty(self) -> Floats:
        """Return an array of shape (0, dim)."""
        return np.zeros((0, self.dim), dtype=np.float32)


class LoadedOnnxScorer(Loaded):
    """An ONNX classifier in memory."""

    def __init__(self, spec: OnnxScorer, session: Session) -> None:
        if session.width != len(spec.classes):
            raise ModelError(f"classes must name the {session.width} columns. Got {spec.classes!r}.")
        self._session = session
        self._how = spec.net.preparation()
        self._columns = [spec.classes.index(name) for name in spec.positive]

    def prepare(self, item: bytes) -> Pixels:
        """Return an image as uint8 of shape (3, size, size)."""
        return prepare(item, self._how)

    def forward(self, batch: Array) -> Floats:
        """Return scores, (n,) float32 from 0 to 1, for uint8 pixels of shape (n, 3, size, size)."""
        summed = self._session.run(batch)[:, self._columns].sum(axis=1)
        return np.asarray(summed, dtype=np.float32)

    def empty(self) -> Floats:
        """Return an array of shape (0,)."""
        return np.zeros(0, dtype=np.float32)


def _digest(file: Path) -> str:
    """Return the digest of a network's file, and of the files of weights that it names where it has some."""
    status = file.stat()
    digests = [file_digest(file), *map(file_digest, _external_data(file, status.st_size, status.st_mtime_ns))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


@lru_cache(maxsize=64)
def _external_data(file: Path, size: int, changed: int) -> tuple[Path, ...]:
    """Return the files of weights beside a network's file, each once, in the order of their names.

    Format: onnx.proto, TensorProto.external_data: entries of key (field 1) "location" and value (field 2), a path
    below the file's folder. `size` and `changed` only tell one version of the file from another.
    """
    if size == 0:
        return ()
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = {match[2][: match[1][0]].decode("utf-8", "replace") for match in _LOCATION.finditer(content)}
    return tuple(path for name in sorted(names) if (path := file.parent / name).is_file())


def _open(net: OnnxNet, device: str, threads: int | None) -> Any:
    """Return a session whose threads are set: left alone, every task of a worker takes every core."""
    import onnxruntime

    path = str(local_path(net.path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 1
    options.inter_op_num_threads = 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ModelError(f"device must be cpu for this onnxruntime. Got {device!r}. See onnxruntime-gpu.")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.partition(":")[2] or "0"}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise ModelError(f"onnxruntime could not load {net.path!r}: {error}") from error


def _input_dtype(node: Any) -> Any:
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
    if node.type not in dtypes:
        raise ModelError(f"input of an ONNX network must be {', '.join(dtypes)}. Got {node.type!r}.")
    return dtypes[node.type]


def _is_channels_last(shape: list[Any], net: OnnxNet) -> bool:
    """Return whether the input is (n, h, w, 3); checked to be that or (n, 3, h, w) of the size asked for."""
    if len(shape) == 4:
        for last, (height, width) in ((False, shape[2:4]), (True, shape[1:3])):
            fits = all(side == net.size or not isinstance(side, int) for side in (height, width))
            if shape[3 if last else 1] == 3 and fits:
                return last
    raise ModelError(
        f"input of {net.path!r} must be 4-d, with 3 channels and size {net.size}. Got {shape!r}. Set `size`."
    )


def _pick_output(session: Any, net: OnnxNet) -> tuple[str, int]:
    """Return the name of the output and the length of its rows."""
    shapes = {out.name: out.shape for out in session.get_outputs()}
    name = net.output or (next(iter(shapes)) if len(shapes) == 1 else "")
    if name not in shapes:
        raise ModelError(f"output must be one of {', '.join(shapes)}. Got {net.output!r}.")
    sizes = shapes[name][1:]
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"output {name!r} must have a declared length. Got {shapes[name]!r}.")
    return name, int(np.prod(sizes))
