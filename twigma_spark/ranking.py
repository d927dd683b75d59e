"""Images of a folder in the order in which a reward model expects them to be liked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.artifacts import folder as artifact_folder
from twigma_spark.io.lease_s3 import SETTINGS
from twigma_spark.io.local_files import is_image, list_files
from twigma_spark.io.url_files import download, list_url
from twigma_spark.models.decode import ImageError
from twigma_spark.models.reward import Reward
from twigma_spark.models.reward_files import FOLDER

# Images that are scored at once.
BATCH = 32


def rank_folder(
    cfg: Config, folder: Path, prompt: str, model: Path | None
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return rank, file and score, the best first, and the files that cannot be used with the reason.

    Args:
        cfg: says where the store is, and on what device the model runs.
        folder: of images, its subfolders too.
        prompt: what the images were made for.
        model: the folder of a reward model; None for the one that the stage `reward` wrote.

    Raises:
        ConfigError: no such folder, no image in it, or an empty prompt.
        ModelError: no reward model.
    """
    if not folder.is_dir():
        raise ConfigError(f"FOLDER must be an existing folder. Got {str(folder)!r}.")
    if not prompt.strip():
        raise ConfigError("--prompt must be the text that the images were made for. Got none.")
    listed = sorted(file for file in list_files(str(folder)) if file.fault or is_image(file.key))
    unusable = [(file.key, file.fault) for file in listed if file.fault]
    files = {Path(os.fsdecode(file.path)): file.key for file in listed if not file.fault}
    if not files:
        raise ConfigError(f"FOLDER must hold images. Got none in {str(folder)!r}.")
    with _model_folder(cfg, model) as place:
        reward = Reward.from_pretrained(place, "cuda:0" if cfg.models.device == "cuda" else "cpu")
    scores: dict[Path, float] = {}
    paths = list(files)
    for start in range(0, len(paths), BATCH):
        part = paths[start : start + BATCH]
        try:
            scores |= dict(zip(part, reward.score(images=part, prompts=[prompt]).tolist(), strict=True))
        except ImageError:
            # One of them cannot be used: each is asked by itself.
            for file in part:
                try:
                    scores[file] = float(reward.score(images=[file], prompts=[prompt])[0])
                except ImageError as error:
                    unusable.append((files[file], str(error)))
    ordered = sorted(scores.items(), key=lambda item: (-item[1], files[item[0]]))
    rows = [(number, files[file], score) for number, (file, score) in enumerate(ordered, start=1)]
    return pd.DataFrame(rows, columns=["rank", "file", "score"]), unusable


@contextmanager
def _model_folder(cfg: Config, model: Path | None) -> Iterator[Path]:
    """Yield the folder of a reward model; of one at a URL a copy, as long as it is needed."""
    settings = tuple((key, cfg.spark.conf[key]) for key in SETTINGS if key in cfg.spark.conf)
    where = artifact_folder(cfg.store.root, cfg.store.artifacts, settings)
    with tempfile.TemporaryDirectory(prefix="twigma-model-") as scratch:
        place = model or where.local / FOLDER
        shown = str(place)
        if model is None and where.is_remote:
            place, shown = Path(scratch) / FOLDER, where.url(where.local / FOLDER)
            for name in list_url(shown, settings):
                place.mkdir(exist_ok=True)
                download(f"{shown}/{name}", place / name, settings)
        if not place.is_dir():
            raise ConfigError(
                f"--model must be the folder of a reward model. Got {shown!r}, which is not there; the stage reward "
                "of twigma run writes one into the store."
            )
        yield place
