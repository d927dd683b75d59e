"""The documents of a release: data card, datasheet, Croissant, Zenodo deposit, citation and licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from twigma_spark.config.release import STATEMENTS, Creator
from twigma_spark.io.release_files import Part
from twigma_spark.release.facts import Facts
from twigma_spark.release.fields import KEY, Field

CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
# The context that the Croissant format 1.1 asks for (https://docs.mlcommons.org/croissant).
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
}  # fmt: skip
FORMATS = {".csv": "text/csv", ".parquet": "application/x-parquet"}
# Zenodo's names of the licences that it knows under another one than SPDX.
ZENODO = {"CC0-1.0": "cc-zero", "ODC-By-1.0": "odc-by", "ODbL-1.0": "odc-odbl"}


def documents(facts: Facts) -> dict[str, str]:
    """Return the texts of a release by file name."""
    return {
        "README.md": _render("card.md", facts),
        "DATASHEET.md": _render("datasheet.md", facts),
        "croissant.json": _json(croissant(facts)),
        "zenodo.json": _json(zenodo(facts)),
        "CITATION.cff": yaml.safe_dump(citation(facts), sort_keys=False, allow_unicode=True),
        "LICENSE": license_text(facts),
    }


def type_name(field: Field) -> str:
    """Return the Spark SQL type of a column."""
    names = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names.get(field.type, "TIMESTAMP")


def croissant(facts: Facts) -> dict[str, Any]:
    """Return the Croissant metadata (format 1.1 with the RAI vocabulary) as JSON-LD."""
    release, counts = facts.cfg.release, facts.counts
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CROISSANT, RAI],
        "name": facts.title,
        "description": facts.description,
        "version": release.version,
        "datePublished": facts.day.isoformat(),
        "url": release.url,
        "license": facts.license.url if facts.license else None,
        "creator": [_schema_person(creator) for creator in facts.creators],
        "citeAs": _cite(facts),
        "rai:dataCollection": _statement(facts, "collection"),
        "rai:dataBiases": _statement(facts, "biases"),
        "rai:dataUseCases": _statement(facts, "uses"),
        "rai:dataReleaseMaintenancePlan": _statement(facts, "maintenance"),
        "rai:personalSensitiveInformation": privacy(facts),
        "rai:dataLimitations": [_limits(facts), facts.profile.terms],
        "rai:dataPreprocessingProtocol": _steps(facts),
        "rai:machineAnnotationTools": [f"{kind}: {model}" for kind, model in facts.models.items()],
        "rai:dataCollectionTimeframe": [str(day) for day in (counts.first, counts.last) if day],
        "distribution": [_file_object(part) for part in facts.files],
        "recordSet": [
            _record_set(facts, part, number)
            for number, part in enumerate((p for p in facts.files if p.name.endswith(".parquet")), start=1)
        ],
    }
    return {name: value for name, value in document.items() if value not in (None, [])}


def _file_object(part: Part) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": part.name,
        "name": part.name,
        "contentUrl": part.name,
        "contentSize": f"{part.n_bytes} B",
        "encodingFormat": FORMATS[part.name[part.name.rindex(".") :]],
        "sha256": part.sha256,
    }


def _record_set(facts: Facts, part: Part, number: int) -> dict[str, Any]:
    name = f"images-{number}"
    types = {"STRING": "sc:Text", "BIGINT": "sc:Integer", "DOUBLE": "sc:Float", "BOOLEAN": "sc:Boolean"}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"One row an image, {part.rows:,} rows.",
        "key": [{"@id": f"{name}/{key}"} for key in KEY],
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field.name}",
                "name": field.name,
                "description": field.description,
                "dataType": types.get(type_name(field), "sc:DateTime"),
                "source": {"fileObject": {"@id": part.name}, "extract": {"column": field.name}},
            }
            for field in facts.fields
        ],
    }


def _schema_person(creator: Creator) -> dict[str, str]:
    person = {"@type": "sc:Person", "name": creator.name, "affiliation": creator.affiliation}
    orcid = f"https://orcid.org/{creator.orcid}" if creator.orcid else None
    return {name: value for name, value in {**person, "identifier": orcid}.items() if value}


def _statement(facts: Facts, name: str) -> str:
    return facts.cfg.release.statements.get(name, "").strip() or f"To be written. {STATEMENTS[name]}"


def privacy(facts: Facts) -> str:
    """Return what the release says of people, in words."""
    counts, names = facts.counts, {field.name for field in facts.fields}
    hashes = (
        "Authors are keyed hashes (HMAC-SHA256), whose key is not released."
        if "author_hash" in names
        else "It names no author."
    )
    text = f"{hashes} It holds no text of a post and no user name; ids of posts lead to both at the platform."
    if not counts.author_groups:
        return text
    return (
        f"{text} Of the {counts.author_groups:,} groups of authors that share a follower band, a month and a language, "
        f"the smallest has {counts.fewest_authors:,} and {counts.groups_below_five:,} have fewer than five: whoever "
        "looks the ids up again can tell such authors apart. The tables that it comes from have no place of a post, so "
        "that no group is by place."
    )


def _limits(facts: Facts) -> str:
    release = facts.cfg.release
    gate = (
        "No image was left out for its NSFW score: look at nsfw_score or at the images with care."
        if release.max_nsfw is None
        else f"{facts.counts.hidden:,} images are left out: "
        f"flagged, without an NSFW score, or above {release.max_nsfw:g}."
    )
    return gate


def _steps(facts: Facts) -> list[str]:
    counts = facts.counts
    repeated = ", ".join(f"{n:,} by {tier}" for tier, n in counts.duplicates.items()) or "none"
    refused = ", ".join(f"{n:,} {reason}" for reason, n in counts.rejects.items()) or "none"
    return [f"Images that repeat another one are left out: {repeated}.", f"What could not be used: {refused}."]


def zenodo(facts: Facts) -> dict[str, Any]:
    """Return the metadata of a deposit at Zenodo, as its REST API takes it."""
    release = facts.cfg.release
    metadata = {
        "title": facts.title,
        "upload_type": "dataset",
        "description": facts.description,
        "version": release.version,
        "publication_date": facts.day.isoformat(),
        "access_right": "open" if release.license else "closed",
        "license": ZENODO.get(release.license, release.license.lower()) if release.license else None,
        "creators": [
            {name: value for name, value in creator.model_dump().items() if value} for creator in facts.creators
        ],
        "keywords": ["AI-generated images", "social media", "CLIP"],
        "notes": f"A draft: {', '.join(facts.missing)} missing." if facts.missing else None,
    }
    return {"metadata": {name: value for name, value in metadata.items() if value not in (None, [])}}


def citation(facts: Facts) -> dict[str, Any]:
    """Return the citation as CITATION.cff (format 1.2.0) has it."""
    release = facts.cfg.release
    authors = [
        {
            name: value
            for name, value in {
                "name": creator.name,
                "affiliation": creator.affiliation,
                "orcid": f"https://orcid.org/{creator.orcid}" if creator.orcid else None,
            }.items()
            if value
        }
        for creator in facts.creators
    ]
    citation_file = {
        "cff-version": "1.2.0",
        "message": "Please cite this data set as below.",
        "type": "dataset",
        "title": facts.title,
        "abstract": facts.description,
        "authors": authors or [{"name": "To be named"}],
        "version": release.version,
        "date-released": facts.day.isoformat(),
        "license": release.license,
        "url": release.url,
    }
    return {name: value for name, value in citation_file.items() if value}


def license_text(facts: Facts) -> str:
    """Return the file LICENSE: the licence's name and where its text is, or that none was chosen."""
    if facts.license is None:
        return "No licence has been chosen yet (release.license). Until then nobody may use this data set.\n"
    name = facts.cfg.release.license
    return f"{facts.title} is licensed under {facts.license.name} (SPDX: {name}).\n{facts.license.url}\n"


def _cite(facts: Facts) -> str | None:
    if not facts.creators:
        return None
    names = "; ".join(creator.name for creator in facts.creators)
    return f"{names} ({facts.day.year}). {facts.title}, version {facts.cfg.release.version}." + (
        f" {facts.cfg.release.url}" if facts.cfg.release.url else ""
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@cache
def _environment() -> Environment:
    loader = PackageLoader("twigma_spark.release", "templates")
    # Markdown and no HTML: the filter `md` escapes what comes from outside.
    env = Environment(  # noqa: S701
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    env.filters["md"] = markdown
    env.filters["count"] = "{:,}".format
    env.filters["yaml"] = lambda value: yaml.safe_dump(value, allow_unicode=True, width=10_000).strip()
    return env


def markdown(text: object) -> str:
    """Return a text as one line of Markdown in which no character has a meaning."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in line)


def _render(template: str, facts: Facts) -> str:
    return _environment().get_template(template).render(
        facts=facts, how=facts.cfg.release, counts=facts.counts, statements=STATEMENTS, type_name=type_name,
        privacy=privacy(facts), limits=_limits(facts), steps=_steps(facts), cite=_cite(facts),
        header=_card_header(facts),
    )  # fmt: skip


def _card_header(facts: Facts) -> dict[str, Any]:
    """Return the YAML of a data card at Hugging Face."""
    size, sizes = facts.counts.images, ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    larger = "100K<n<1M" if size < 1_000_000 else "1M<n<10M"
    header = {
        "pretty_name": facts.title,
        "license": facts.cfg.release.license.lower() if facts.cfg.release.license else "other",
        "size_categories": [next((name for limit, name in sizes if size < limit), larger)],
        "tags": ["ai-generated-images", "social-media", "croissant"],
        "configs": [{"config_name": "default", "data_files": "data/*.parquet"}],
    }
    return header
