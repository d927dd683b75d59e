"""Settings from YAML overlays; every fault is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from twigma_spark.config.collect import ADDRESS, HASHTAG, STREAM
from twigma_spark.config.engine import USER_AGENT
from twigma_spark.config.models import PROMPT
from twigma_spark.config.release import ORCID, URL, VERSION
from twigma_spark.config.section import NAME
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.redaction import hide, remember

# In an installed package the files lie within it, in a checkout beside it.
PACKAGED = [Path(__file__).parents[1] / "conf", Path(__file__).parents[2] / "conf"]

# pydantic's kinds of faults, in the words of YAML.
RULES = {
    "extra_forbidden": "is not a known key; conf/base.yaml lists them all",
    "missing": "must be given",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "mapping_type": "must be a mapping of keys",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "kind must be one of {expected_tags}",
    "union_tag_not_found": "must have a kind",
}
# What the patterns of texts ask for.
PATTERNS = {
    NAME: "must be lower-case letters, digits and _, beginning with a letter",
    HASHTAG: "must be letters, digits and _, without the sign",
    ADDRESS: "must be an address such as https://host, without a path",
    STREAM: "must be an address such as wss://host, without a path",
    USER_AGENT: "must be printable ASCII",
    PROMPT: "must have a letter or a digit",
    ORCID: "must be an ORCID such as 0000-0002-1825-0097",
    VERSION: "must be three numbers such as 1.0.0",
    URL: "must begin with https:// or http://",
}


def load(paths: Sequence[str | Path] = (), overrides: Sequence[str] = ()) -> Config:
    """Return the settings of YAML files, laid one over the other, and of ``key=value`` overrides.

    Args:
        paths: YAML files, or names of those that come with the package, such as ``"sample"``; a later one wins,
            mappings are merged key by key, lists are replaced.
        overrides: such as ``"embed.batch_size=64"``; the value is read as YAML.

    Raises:
        ConfigError: names every fault found, each with its file and key.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    faults: list[str] = []
    for path in paths:
        _merge(merged, _read(find(path), faults), origin, str(path))
    for text in overrides:
        _merge(merged, _override(text, faults), origin, f"--set {text}")
    remember(merged)
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        faults += [_fault(e, origin) for e in error.errors()]
    if faults:
        raise ConfigError(hide("the configuration must be valid. Faults:\n" + "\n".join(f"  {f}" for f in faults)))
    return config


def find(path: str | Path) -> Path:
    """Return the path of a file, or of the one that comes with the package where a bare name has no file."""
    here = Path(path)
    own = next((folder / f"{path}.yaml" for folder in PACKAGED if (folder / f"{path}.yaml").is_file()), None)
    return own if own is not None and len(here.parts) == 1 and not here.exists() else here


def _read(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(f"{path}: the file does not exist")
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.append(f"{path}: must be readable YAML. Got {' '.join(str(error).split())}")
        return {}
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(f"{path}: must hold a mapping of keys. Got {type(data).__name__}")
        return {}
    return data


def _override(text: str, faults: list[str]) -> dict[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        faults.append(f"--set {text}: must be KEY=VALUE, such as embed.batch_size=64")
        return {}
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        faults.append(f"--set {text}: the value must be YAML. Got {value!r}")
        return {}
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _merge(into: dict[str, Any], data: Mapping[str, Any], origin: dict[str, str], source: str, at: str = "") -> None:
    for key, value in data.items():
        path = f"{at}{key}"
        origin[path] = source
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and value.get("kind") is None:
            _merge(into[key], value, origin, source, f"{path}.")
        else:
            into[key] = value


def _fault(error: Any, origin: Mapping[str, str]) -> str:
    where = [str(part) for part in error["loc"]]
    known = [origin[".".join(where[:n])] for n in range(len(where), 0, -1) if ".".join(where[:n]) in origin]
    message = _message(error)
    key = ".".join(where) or "(the whole)"
    return f"{known[0] if known else 'defaults'}: {key}: {message}. Got {_short(error.get('input'))}"


def _message(error: Any) -> str:
    """Return a rule in the words of YAML, not of Python."""
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return PATTERNS[str(context["pattern"])]
    if kind in RULES:
        return RULES[kind].format(**context)
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def _short(value: object) -> str:
    text = hide(repr(value))  # before it is cut: half a secret is not known by its value
    return text if len(text) <= 80 else text[:77] + "..."
