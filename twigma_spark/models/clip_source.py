"""Which open_clip model: its name, its files, its id; and loading it, the same way for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twigma_spark.errors import ModelError
from twigma_spark.models.base import file_digest, local_path

CONFIG_FILE = "open_clip_config.json"
RANDOM = "random-"


@dataclass(frozen=True)
class ClipSource:
    """One open_clip model, named in one of four ways.

    Attributes:
        name: An architecture of open_clip ("ViT-L-14"), or a JSON file in the format of its model configs.
        pretrained: A tag of open_clip ("openai"), a local weights file, or "random-<seed>" for random
            weights (benchmarks and tests).
        path: Instead of both: a folder in open_clip's `local-dir` layout (open_clip_config.json, weights,
            tokenizer files), such as "sample:clip".
    """

    name: str = ""
    pretrained: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.name) or bool(self.name) != bool(self.pretrained):
            got = f"name={self.name!r}, pretrained={self.pretrained!r}, path={self.path!r}"
            raise ModelError(f"an open_clip model must be name and pretrained, or path alone. Got {got}.")

    @property
    def model_id(self) -> str:
        """Return "open_clip/<name>/<tag>", or "open_clip/<name>@<digest>" where the weights are a file."""
        if self.path:
            return f"open_clip/{local_path(self.path).name}@{file_digest(self.weights_file())}"
        if self.is_file:
            return f"open_clip/{Path(self.name).stem}@{file_digest(local_path(self.pretrained))}"
        return f"open_clip/{Path(self.name).stem}/{self.pretrained}"

    @property
    def is_file(self) -> bool:
        """Return whether `pretrained` names a file and not a tag."""
        return self.pretrained.startswith("sample:") or Path(self.pretrained).suffix in _WEIGHT_SUFFIXES

    def weights_file(self) -> Path:
        """Return the weights in the folder `path`, safetensors before the others.

        Raises:
            ModelError: There are none.
        """
        folder = local_path(self.path)
        files = sorted(file for file in folder.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
        if not files:
            raise ModelError(f"model folder must hold a weights file (safetensors). Got {str(folder)!r}.")
        return next((file for file in files if file.suffix == ".safetensors"), files[0])

    def config(self) -> dict[str, Any]:
        """Return the model config: embed_dim, vision_cfg, text_cfg; read without importing torch.

        Raises:
            ModelError: open_clip has no such architecture.
        """
        file = self._config_file()
        if not file.is_file():
            raise ModelError(
                f"open_clip name must be one of its architectures. Got {self.name!r}. "
                "See `open_clip.list_models()`, or give the path of your own JSON config."
            )
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return dict(content.get("model_cfg", content))

    def _config_file(self) -> Path:
        if self.path:
            return local_path(self.path) / CONFIG_FILE
        if self.name.endswith(".json"):
            return local_path(self.name)
        spec = find_spec("open_clip")
        if spec is None or spec.origin is None:
            raise ModelError("open_clip must be installed. Run: pip install open_clip_torch.")
        return Path(spec.origin).parent / "model_configs" / f"{self.name}.json"


_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def load_clip(source: ClipSource) -> Any:
    """Return the open_clip model on the CPU, fp32, in evaluation mode, with its preprocessing attached.

    Weights are read with `weights_only`: a file from outside can hold numbers, never code.

    Raises:
        ModelError: It cannot be loaded, with open_clip's own words.
    """
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        if source.pretrained.startswith(RANDOM):
            torch.manual_seed(int(source.pretrained.removeprefix(RANDOM)))
        try:
            model = open_clip.create_model(**_arguments(source))
        except Exception as error:  # open_clip, torch, pickle and safetensors each have their own
            first = str(error).split("\n")[0]
            raise ModelError(f"open_clip could not load {source}: {first}") from error
    return model.eval().requires_grad_(False)


def open_clip_name(source: ClipSource) -> str:
    """Return what open_clip calls this model; a JSON config of one's own is registered first."""
    import open_clip

    if source.path:
        return f"local-dir:{local_path(source.path)}"
    if source.name.endswith(".json"):
        open_clip.add_model_config(local_path(source.name))
        return Path(source.name).stem
    return source.name


def needs_quick_gelu(name: str, pretrained: str) -> bool:
    """Return whether the weights behind a tag were trained with QuickGELU, as OpenAI's were.

    open_clip only warns when an architecture such as "ViT-L-14" is loaded with them, and then computes
    other vectors than the model's authors do.
    """
    import open_clip

    tag = open_clip.get_pretrained_cfg(name, pretrained)
    return bool(tag and tag.get("quick_gelu"))


def _arguments(source: ClipSource) -> dict[str, Any]:
    """Return the arguments for `open_clip.create_model`."""
    name = open_clip_name(source)
    if source.path:
        source.weights_file()  # open_clip would go on with random weights
        return {"model_name": name, "require_pretrained": True}
    if source.pretrained.startswith(RANDOM):
        return {"model_name": name, "pretrained": None, "pretrained_text": False}
    weights = str(local_path(source.pretrained)) if source.is_file else source.pretrained
    return {
        "model_name": name,
        "pretrained": weights,
        "force_quick_gelu": not source.is_file and needs_quick_gelu(name, weights),
        "require_pretrained": True,
    }
