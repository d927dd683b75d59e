"""What a release for others holds, under which terms, and what a person must say of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from twigma_spark.config.section import Section, one_of

ORCID = r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$"
VERSION = r"^\d+\.\d+\.\d+$"
URL = r"^https?://"


class License(NamedTuple):
    """A licence of data: its name and where its text is."""

    name: str
    url: str


CC = "https://creativecommons.org/licenses"
# By SPDX identifier.
LICENSES: Mapping[str, License] = {
    "CC0-1.0": License("Creative Commons Zero 1.0", "https://creativecommons.org/publicdomain/zero/1.0/legalcode"),
    "CC-BY-4.0": License("Creative Commons Attribution 4.0", f"{CC}/by/4.0/legalcode"),
    "CC-BY-SA-4.0": License("Creative Commons Attribution ShareAlike 4.0", f"{CC}/by-sa/4.0/legalcode"),
    "CC-BY-NC-4.0": License("Creative Commons Attribution NonCommercial 4.0", f"{CC}/by-nc/4.0/legalcode"),
    "CC-BY-NC-SA-4.0": License(
        "Creative Commons Attribution NonCommercial ShareAlike 4.0", f"{CC}/by-nc-sa/4.0/legalcode"
    ),
    "ODC-By-1.0": License("Open Data Commons Attribution 1.0", "https://opendatacommons.org/licenses/by/1-0/"),
    "ODbL-1.0": License("Open Database License 1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
}

# What only a person can say of a data set, and the question that each answers (Gebru et al. 2021, Datasheets for
# Datasets). A release that lacks one is a draft.
STATEMENTS: Mapping[str, str] = {
    "motivation": "For what purpose was the data set created, by whom, and who paid for it?",
    "collection": "How were the posts and images found and gathered, and by what terms of use?",
    "consent": "Were the people concerned told, and did they agree? How can they have their data taken out?",
    "biases": "Whom and what does the data set over- or under-represent?",
    "uses": "What is it meant for, and what must it not be used for?",
    "maintenance": "Who maintains it, how are errors reported, and will it be updated?",
}

Platform = Literal["x", "fediverse", "own"]
FieldSet = Literal["ids", "derived", "all"]


class Creator(Section):
    """A person or an organisation that the release is to be cited by."""

    name: str = Field(min_length=1)
    affiliation: str | None = None
    orcid: str | None = Field(None, pattern=ORCID)


class Release(Section):
    """A release: what it holds, its terms and what a person says of it."""

    title: str | None = None
    description: str | None = None
    version: str = Field("1.0.0", pattern=VERSION)
    date: datetime.date | None = None
    license: Annotated[str, one_of(LICENSES)] | None = None
    creators: tuple[Creator, ...] = ()
    url: str | None = Field(None, pattern=URL)
    platform: Platform | None = None
    fields: FieldSet | None = None
    reason: str | None = None
    max_nsfw: float | None = Field(None, ge=0, le=1)
    authors: bool = False
    statements: dict[Annotated[str, one_of(STATEMENTS)], str] = Field({})
