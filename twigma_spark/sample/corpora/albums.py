"""A corpus that is a folder of images and a metadata file, while it is being filled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from twigma_spark.sample.corpora.oddities import FILES
from twigma_spark.sample.corpora.tables import Row
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.encode import CHANGES, change
from twigma_spark.sample.ledger import Ledger
from twigma_spark.sample.records import DuplicateGroup, ImageTruth, NearDuplicate


@dataclass
class Album:
    """One folder corpus.

    Attributes:
        name: the corpus.
        folder: holds `images/`.
        ledger: where everything is entered.
        rows: what the metadata file will say, in order; each has a "file".
        donors: images that nothing has been made from yet: key, row and label of each.
    """

    name: str
    folder: Path
    ledger: Ledger
    rows: list[Row] = field(default_factory=list)
    donors: list[tuple[str, Row, ImageTruth]] = field(default_factory=list)

    def path(self, key: str) -> Path:
        """Where the image with that source key lies."""
        return self.folder / "images" / key

    def write(self, key: str, data: bytes) -> None:
        """Writes an image file."""
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        self.path(key).write_bytes(data)

    def add(self, data: bytes, row: Row, label: ImageTruth, donor: bool = False) -> None:
        """Adds a usable image with its row; `donor` offers it to be copied."""
        key = str(row["file"])
        self.write(key, data)
        self.rows.append(row)
        self.ledger.image(self.name, key, label)
        if donor:
            self.donors.append((key, row, label))

    def take(self, dice: Dice) -> tuple[str, Row, ImageTruth]:
        """An image that nothing has been made from yet, and that will not be given again."""
        return self.donors.pop(dice.integer(0, len(self.donors) - 1))

    def plant_byte_copies(self, groups: int, dice: Dice) -> None:
        """Adds groups of two or three files with the same bytes."""
        for _ in range(groups):
            key, row, label = self.take(dice)
            keys = [key]
            for copy in range(1 + dice.chance(0.3)):
                keys.append(_rename(key, f"-copy{copy + 1}"))
                self.add(self.path(key).read_bytes(), {**row, "file": keys[-1]}, label)
            self.ledger.byte_duplicates.append(DuplicateGroup(corpus=self.name, source_keys=tuple(keys)))

    def plant_near_copies(self, count: int, dice: Dice) -> None:
        """Adds changed copies, one kind after the other; a JPEG folder stays one."""
        kinds = [kind for kind in CHANGES if kind != "converted" or self.name != "photo"]
        for index in range(count):
            key, row, label = self.take(dice)
            kind = kinds[index % len(kinds)]
            copy = change(kind, self.path(key), dice)
            copy_key = _rename(key, f"-{kind}", copy.suffix)
            self.add(copy.data, {**row, "file": copy_key}, label)
            entry = NearDuplicate(corpus=self.name, source_key=copy_key, of=key, kind=kind)
            self.ledger.near_duplicates.append(entry)

    def plant_odd(self, kind: str, image: Image.Image, row: Row, label: ImageTruth) -> None:
        """Adds a file of one of the kinds of oddities.FILES; the row's file gets the kind's suffix."""
        make, suffix, reason = FILES[kind]
        key = str(Path(str(row["file"])).with_suffix(suffix))
        row = {**row, "file": key}
        if reason is None:
            self.add(make(image), row, label)
        else:
            self.write(key, make(image))
            self.rows.append(row)
        self.ledger.odd(self.name, key, kind, reason)

    def plant_missing(self, row: Row) -> None:
        """Adds a row whose file was never written."""
        self.rows.append(row)
        self.ledger.odd(self.name, str(row["file"]), "missing_file", "missing_file")

    def plant_listed_twice(self, dice: Dice) -> None:
        """Lists an image a second time."""
        key, row, _ = self.take(dice)
        self.rows.append(row)
        self.ledger.odd(self.name, key, "listed_twice", "duplicate_key")


def _rename(key: str, mark: str, suffix: str | None = None) -> str:
    path = Path(key)
    return str(path.with_name(path.stem + mark + (suffix or path.suffix)))
