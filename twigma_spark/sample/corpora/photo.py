"""The photo corpus: JPEG files in subfolders and a CSV file of titles."""

from __future__ import annotations

from pathlib import Path

from twigma_spark.sample.captions import describe
from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.oddities import GREY
from twigma_spark.sample.corpora.tables import Row, csv_lines, latin_line
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.encode import encode
from twigma_spark.sample.ledger import Ledger, label_of
from twigma_spark.sample.records import MetadataFault
from twigma_spark.sample.scenes import Scene, draw_scene, draw_spec
from twigma_spark.sample.themes import THEMES

NAME = "photo"
THEME_WEIGHTS = {
    "animal": 4, "food": 4, "street": 4, "portrait": 4, "mountains": 3, "sea": 3, "forest": 3, "flower": 3,
    "city": 1,
}  # fmt: skip
_FOLDERS = {
    "animal": "animals", "food": "food", "street": "streets", "portrait": "people", "mountains": "landscapes",
    "sea": "landscapes", "forest": "landscapes", "flower": "flowers", "city": "streets",
}  # fmt: skip
_COLUMNS = ("file", "title")
_ODD = ("truncated_jpeg", "page_named_jpg", "grey_jpeg", "turned_jpeg")


def draw_photos(folder: Path, count: int, seed: int, ledger: Ledger) -> Album:
    """The corpus, written under `folder`, with about `count` usable images."""
    album, dice = Album(NAME, folder, ledger), Dice(stream(seed, NAME))
    groups, near = max(1, count // 150), max(1, count // 60)
    base = count - groups - near - 2
    for index in range(base):
        scene, row = _photo(index, seed)
        album.add(encode(scene.image, ".jpg"), row, label_of(scene), donor=True)
    album.plant_byte_copies(groups, dice)
    album.plant_near_copies(near, dice)
    for index, kind in enumerate(_ODD, start=base):
        scene, row = _photo(index, seed, kind in GREY)
        album.plant_odd(kind, scene.image, row, label_of(scene))
    album.plant_missing({"file": "streets/lost.jpg", "title": "A street that nobody kept"})
    album.plant_listed_twice(dice)
    _write_metadata(album, dice)
    return album


def _photo(index: int, seed: int, grey: bool = False) -> tuple[Scene, Row]:
    dice = Dice(stream(seed, NAME, index))
    theme = THEMES[dice.choose_weighted(list(THEME_WEIGHTS), list(THEME_WEIGHTS.values()))]
    spec = draw_spec(theme, "photo", dice, grey)
    title = describe(theme, spec.traits, spec.traits)
    row = {"file": f"{_FOLDERS[theme.name]}/{index:05d}.jpg", "title": title[0].upper() + title[1:]}
    return draw_scene(spec, dice), row


def _write_metadata(album: Album, dice: Dice) -> None:
    """Rows in the order of their files; one of them is not UTF-8."""
    key, _, _ = album.take(dice)
    rows = sorted(album.rows, key=lambda row: str(row["file"]))
    lines = csv_lines(rows, _COLUMNS)
    line = 1 + next(index for index, row in enumerate(rows) if row["file"] == key)
    lines[line] = latin_line({"file": key, "title": "Crème brûlée au café"}, _COLUMNS)
    (album.folder / "metadata.csv").write_bytes(b"".join(lines))
    fault = MetadataFault(
        corpus=NAME,
        where=f"metadata.csv:{line + 1}",
        kind="latin_1_row",
        usable=False,
        reason="metadata_not_utf8",
    )
    album.ledger.metadata_faults.append(fault)
