"""The painters of the sample world: made-up people, each with a medium, a palette and a stroke."""

from __future__ import annotations

from dataclasses import dataclass

from twigma_spark.sample.colours import Colour


@dataclass(frozen=True)
class Artist:
    """A made-up painter.

    Attributes:
        name: as the catalogue has it.
        medium: the medium of every work.
        palette: colours that the works lean towards, dark to light.
        stroke: length and width of a stroke in shares of the shorter side.
        angle: direction of the strokes in radians, or None where they follow the forms.
        years: first and last year of the works.
    """

    name: str
    medium: str
    palette: tuple[Colour, ...]
    stroke: tuple[float, float]
    angle: float | None
    years: tuple[int, int]


ARTISTS: tuple[Artist, ...] = (
    Artist(
        "Mara Lindqvist",
        "oil painting",
        ((38, 30, 36), (122, 84, 58), (206, 168, 112), (242, 226, 190)),
        (0.09, 0.024),
        None,
        (1872, 1899),
    ),
    Artist(
        "Tomas Okafor",
        "oil painting",
        ((26, 34, 62), (46, 96, 128), (190, 150, 96), (246, 228, 180)),
        (0.12, 0.03),
        None,
        (1886, 1912),
    ),
    Artist(
        "Ilse Brandt",
        "oil painting",
        ((44, 26, 34), (142, 62, 54), (214, 146, 96), (250, 220, 178)),
        (0.065, 0.034),
        0.7,
        (1905, 1931),
    ),
    Artist(
        "Ines Valcour",
        "watercolour",
        ((60, 76, 104), (124, 160, 176), (214, 190, 168), (250, 246, 236)),
        (0.1, 0.04),
        None,
        (1861, 1884),
    ),
    Artist(
        "Haruo Senda",
        "watercolour",
        ((54, 64, 62), (112, 146, 116), (214, 178, 146), (250, 244, 228)),
        (0.1, 0.05),
        None,
        (1895, 1920),
    ),
    Artist(
        "Georges Amiel",
        "pointillist painting",
        ((36, 40, 92), (86, 130, 96), (232, 166, 92), (252, 236, 190)),
        (0.024, 0.024),
        None,
        (1884, 1901),
    ),
    Artist(
        "Ruth Adeyemi",
        "pastel drawing",
        ((70, 56, 86), (150, 118, 150), (226, 176, 160), (250, 238, 220)),
        (0.11, 0.017),
        -0.8,
        (1920, 1948),
    ),
    Artist(
        "Wen Tao",
        "ink drawing",
        ((28, 26, 30), (96, 90, 86), (186, 178, 164), (244, 238, 222)),
        (0.1, 0.01),
        None,
        (1840, 1868),
    ),
)
