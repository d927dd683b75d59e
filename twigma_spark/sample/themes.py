"""The themes of the sample world by name."""

from __future__ import annotations

from twigma_spark.sample.painters import (
    abstract,
    animal,
    castle,
    city,
    figure,
    flower,
    food,
    forest,
    mountains,
    portrait,
    robot,
    sea,
    space,
    still_life,
    street,
    underwater,
)
from twigma_spark.sample.theme import Theme

THEMES: dict[str, Theme] = {
    "abstract": abstract.THEME,
    "animal": animal.THEME,
    "castle": castle.THEME,
    "city": city.THEME,
    "figure": figure.THEME,
    "flower": flower.THEME,
    "food": food.THEME,
    "forest": forest.THEME,
    "mountains": mountains.THEME,
    "portrait": portrait.THEME,
    "robot": robot.THEME,
    "sea": sea.THEME,
    "space": space.THEME,
    "still life": still_life.THEME,
    "street": street.THEME,
    "underwater": underwater.THEME,
}
