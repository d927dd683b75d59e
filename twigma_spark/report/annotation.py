"""The annotators' page: pictures under blind names, boxes for keywords and groups, answers saved as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from twigma_spark.report.figures import data_uri
from twigma_spark.report.render import environment, script_hash, source


@dataclass(frozen=True)
class SheetItem:
    """A picture of the sheet; `veiled` ones are blurred until clicked."""

    item: str
    picture: bytes
    veiled: bool


def annotation_page(title: str, pictures: Sequence[SheetItem]) -> str:
    """Return the page as one HTML document that opens offline and sends nothing anywhere."""
    env = environment()
    script = source(env, "annotate.js")
    return env.get_template("annotate.html").render(
        title=title,
        pictures=[(n, p.item, data_uri(p.picture), p.veiled) for n, p in enumerate(pictures, start=1)],
        script=Markup(script),  # noqa: S704 - a file of the package
        script_hash=script_hash(script),
    )
