"""What the page is given of the map: the counts as bytes in Base64, each picture once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from twigma_spark.report.data import ImageMap, MapLayer, MapPicture, Picture
from twigma_spark.report.figures import colour, data_uri
from twigma_spark.report.grid import varints

# From blue to ochre, ever lighter, as plasma (Smith & van der Walt 2015) without the ends that vanish on dark or light
# ground.
TIMES = ("#4d63c6", "#9358bf", "#c6558f", "#d9634a", "#c58126")
LONGEST_TEXT = 200


def page_map(shown: ImageMap, nsfw_threshold: float) -> dict[str, Any]:
    """Return what the script of the map draws, as JSON values.

    The layers have their side and groups, each with its colour and images, and `cells` and `counts`: Base64 of varints
    of the differences between one cell's number and the next, and of the images there. `pictures` have x, y (0 to 1),
    the place of their corpus among the groups of the first layer, and places among `shown`: their own and, with the
    similarity, their neighbours'. A picture that must not be shown unasked is not there: only the reason is.
    """
    images: dict[str, int] = {}
    texts: list[dict[str, str]] = []

    def place(picture: Picture) -> int:
        if picture.image_id not in images:
            images[picture.image_id] = len(texts)
            texts.append(_picture_entry(picture, nsfw_threshold))
        return images[picture.image_id]

    corpora = {name: n for n, name in enumerate(shown.layers[0].groups)} if shown.layers else {}
    pictures = [_picture(each, corpora, place) for each in shown.pictures]
    return {"layers": [_layer(layer) for layer in shown.layers], "pictures": pictures, "shown": texts}


def _picture_entry(picture: Picture, threshold: float) -> dict[str, str]:
    why = picture.hidden_because(threshold)
    uri = "" if why else data_uri(picture.thumbnail)
    hidden = f"hidden: {why}" if why else "" if uri else "cannot be drawn"
    text = "" if why else picture.text[:LONGEST_TEXT]
    return {"src": uri, "text": text, "corpus": picture.corpus, "why": hidden}


def _picture(each: MapPicture, corpora: Mapping[str, int], place: Callable[[Picture], int]) -> dict[str, Any]:
    own, group = place(each.picture), corpora.get(each.picture.corpus, -1)
    near = [[place(picture), round(similarity, 3)] for picture, similarity in each.neighbours]
    return {"x": round(each.x, 5), "y": round(each.y, 5), "group": group, "shown": own, "near": near}


def _layer(layer: MapLayer) -> dict[str, Any]:
    groups = []
    for number, name in enumerate(layer.groups):
        mine = layer.counts.groups == number
        cells, images = layer.counts.cells[mine], layer.counts.images[mine]
        groups.append(
            {
                "name": name,
                "colour": _colour(layer, number),
                "images": int(images.sum()),
                "cells": _base64(varints(np.diff(cells, prepend=0))),
                "counts": _base64(varints(images)),
            }
        )
    return {"name": layer.name, "side": layer.side, "groups": groups}


def _colour(layer: MapLayer, number: int) -> str:
    if layer.name != "date":
        return colour(number)
    share = number / max(1, len(layer.groups) - 1) * (len(TIMES) - 1)
    low = min(int(share), len(TIMES) - 2)
    ends = [[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in TIMES[low : low + 2]]
    return "#" + "".join(f"{round(a + (share - low) * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
