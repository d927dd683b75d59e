"""Changed copies of images, as people make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

Change = Callable[[Image.Image], Image.Image]


def crop(share: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        lost = [round(side * share) for side in image.size]
        left, top = lost[0] // 3, lost[1] // 4
        return image.crop((left, top, image.width - lost[0] + left, image.height - lost[1] + top))

    return change


def scale(factor: float) -> Change:
    return lambda image: image.resize([round(side * factor) for side in image.size])


def write_on(image: Image.Image) -> Image.Image:
    changed = image.copy()
    font = ImageFont.load_default(image.height // 12)
    ImageDraw.Draw(changed).text((9, image.height * 0.85), "www.example.org", "white", font)
    return changed


CHANGES: dict[str, tuple[Change, int]] = {
    "q30": (lambda image: image, 30),
    "q90": (lambda image: image, 90),
    "half": (scale(0.5), 90),
    "double": (scale(2), 90),
    "grey": (ImageOps.grayscale, 90),
    "crop2": (crop(0.02), 90),
    "crop5": (crop(0.05), 90),
    "text": (write_on, 90),
    "mirror": (ImageOps.mirror, 90),
}


def write_copies(files: list[Path], folder: Path) -> None:
    """Write the files, and of each its changed copies."""
    (folder / "copies").mkdir()
    for file in files:
        (folder / "copies" / file.name).write_bytes(file.read_bytes())
        for name, (change, quality) in CHANGES.items():
            path = folder / "copies" / f"{file.stem}~{name}.jpg"
            change(Image.open(file).convert("RGB")).save(path, "JPEG", quality=quality)
