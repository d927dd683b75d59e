"""The files of a training on this machine, and its checkpoints at a URL, from which another machine can go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twigma_spark.io.artifacts import ArtifactFolder, remove_all
from twigma_spark.io.url_files import download, list_url, remove_below, remove_url, upload
from twigma_spark.models.checkpoints import PREFIX, STATE

# Below the folder of the artifacts, while a reward model is trained.
TRAINING = "reward-training"
# What says that a checkpoint is whole, with the folder of its training in front.
WHOLE = re.compile(rf"(?P<folder>.+)/(?P<epoch>{PREFIX}\d+)/{re.escape(STATE)}")


@dataclass(frozen=True)
class Mirror:
    """Keeps the checkpoints of a training at a URL as they are on this machine; nothing where no URL is configured.

    Attributes:
        artifacts: where artifacts are kept.
    """

    artifacts: ArtifactFolder

    def __call__(self, folder: Path) -> None:
        """Upload the checkpoints of a folder that are not at the URL, then remove there those that are gone here."""
        if not self.artifacts.is_remote:
            return
        url, settings = self.artifacts.url(folder), self.artifacts.settings
        there = set(list_url(url, settings))
        files = {f"{part.parent.name}/{part.name}": part for part in folder.glob(f"{PREFIX}*/*")}
        # What says that a checkpoint is whole comes last: one whose upload was cut off is none.
        for name in sorted(files, key=lambda name: (name.partition("/")[0], name.endswith(f"/{STATE}"))):
            if f"{name.partition('/')[0]}/{STATE}" not in there:
                upload(files[name], f"{url}/{name}", settings)
        # What says so goes first.
        for name in sorted(there - files.keys(), key=lambda name: not name.endswith(f"/{STATE}")):
            remove_url(f"{url}/{name}", settings)


def open_training(artifacts: ArtifactFolder, key: str, log: Callable[[str], None]) -> Path:
    """Return the folder of a training: its pairs and its checkpoints, those of an interrupted one among them.

    Args:
        artifacts: where artifacts are kept; checkpoints at a URL are fetched, unless they are on this machine.
        key: what the pairs were made from; what is there of others is removed, for it cannot be gone on from.
        log: shows a line: whether there is something at the URL to go on from.
    """
    place = artifacts.local / TRAINING / key
    for other in (artifacts.local / TRAINING).glob("*"):
        if other != place:
            shutil.rmtree(other)
    place.mkdir(parents=True, exist_ok=True)
    if artifacts.is_remote:
        _fetch_checkpoints(artifacts, place, log)
    return place


def remove_training(artifacts: ArtifactFolder) -> int:
    """Return how many files were removed: of pairs with their images, and of the state of trainings."""
    n = remove_all(str(artifacts.local / TRAINING))
    return n + (remove_below(f"{artifacts.place.rstrip('/')}/{TRAINING}", artifacts.settings) * artifacts.is_remote)


def _fetch_checkpoints(artifacts: ArtifactFolder, place: Path, log: Callable[[str], None]) -> None:
    url, settings = artifacts.url(place.parent), artifacts.settings
    names = list_url(url, settings)
    for other in sorted({name.partition("/")[0] for name in names} - {place.name}):
        remove_below(f"{url}/{other}", settings)
    whole = [match for name in names if name.startswith(f"{place.name}/") and (match := WHOLE.fullmatch(name))]
    last = {match["folder"]: match["epoch"] for match in whole}  # names are in order
    for folder, epoch in last.items():
        target = place.parent / folder
        if any(target.glob(f"{PREFIX}*")):
            continue  # this machine's own is as new, or newer
        part = target / f".{epoch}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in names:
            if name.startswith(f"{folder}/{epoch}/"):
                download(f"{url}/{name}", part / name.rpartition("/")[2], settings)
        part.rename(target / epoch)
    if last:
        log(f"reward: checkpoints of an interrupted training are in {artifacts.url(place)}: it goes on from the last")
    elif not any(place.rglob(f"{PREFIX}*")):
        log(f"reward: no checkpoint in {artifacts.url(place)}: training begins at its start")
