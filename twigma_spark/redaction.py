"""What must not be shown: keys and tokens that a configuration, an address or the environment holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

SHOWN = "***"
# Names of settings and environment variables whose values are secrets.
WORD = r"(?:secret|passw|token|credential|bearer|(?:access|api|account|private|release)[._-]?key)"
NAME = re.compile(WORD, re.IGNORECASE)
# Shorter values are words of the language more often than secrets.
SHORTEST = 6
# user:password@ in an address; a parameter of an address, or a setting, called like a secret; a header.
PATTERNS = (
    (re.compile(r"(?<=://)[^/\s@'\"]+@"), f"{SHOWN}@"),
    (
        re.compile(rf"({WORD}[\w.-]*['\"]?\s*[=:]\s*['\"]?|[?&][\w-]*sig(?:nature)?=)[^\s'\",;&}}]+", re.I),
        rf"\1{SHOWN}",
    ),
    (re.compile(r"(bearer )[\w.~+/=-]{6,}", re.I), rf"\1{SHOWN}"),
)
_values: set[str] = set()


def remember(settings: object, name: str = "") -> None:
    """Remember the values in a configuration whose names say that they are secrets, for `hide`."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            remember(value, str(key))
    elif isinstance(settings, list | tuple):
        for value in settings:
            remember(value, name)
    elif settings is not None and NAME.search(name) and len(str(settings)) >= SHORTEST:
        _values.add(str(settings))


def hide(text: str) -> str:
    """Return a text without secrets: those remembered, those of the environment, and what looks like one."""
    own = {value for name, value in os.environ.items() if NAME.search(name) and len(value) >= SHORTEST}
    for value in sorted(_values | own, key=len, reverse=True):
        text = text.replace(value, SHOWN)
    for pattern, shown in PATTERNS:
        text = pattern.sub(shown, text)
    return text
