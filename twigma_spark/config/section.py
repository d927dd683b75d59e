"""What every section of the settings is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Role = Literal["posts", "generated", "natural", "art"]
NAME = r"^[a-z][a-z0-9_]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(gt=0, le=1)]


def one_of(names: Collection[str]) -> AfterValidator:
    """Return the check that a text is one of some names; the message lists them as they are when it is made."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return name

    return AfterValidator(check)


class Section(BaseModel):
    """A frozen group of keys; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def only(self, keys: Iterable[str]) -> Self:
        """Return a copy in which only these dotted keys can be read, such as ``("embed", "models.image")``."""
        parts: dict[str, list[str]] = {}
        for key in keys:
            name, _, rest = key.partition(".")
            parts.setdefault(name, []).append(rest)
        copy = self.model_copy()
        values = {name: _part(getattr(self, name), rests) for name, rests in parts.items()}
        object.__setattr__(copy, "__dict__", values)
        return copy

    if not TYPE_CHECKING:  # for mypy, it would make every name an attribute

        def __getattr__(self, name: str) -> Any:
            """Raise an error that says what to declare, where a key was left out by `only`."""
            if name in type(self).model_fields:
                raise AttributeError(
                    f"{type(self).__name__}.{name} must be declared by the stage that reads it: in `config`, or in "
                    "`tuning` where it does not change the result."
                )
            return super().__getattr__(name)


class StageSection(Section):
    """The settings of one stage; the stage has the section's name."""


def _part(value: Any, keys: list[str]) -> Any:
    return value.only(keys) if isinstance(value, Section) and "" not in keys else value
