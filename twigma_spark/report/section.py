"""What a section of the page is; adding one takes a module, its template and a line in render.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twigma_spark.report.data import ReportData


@dataclass(frozen=True)
class Finding:
    """A sentence that the numbers support, and what it rests on: n, unit, interval, method."""

    text: str
    basis: str


@dataclass(frozen=True)
class ReportSection:
    """A section.

    Attributes:
        id: anchor; the template is `<id>.html`.
        title: heading, and the name in the navigation.
        context: values for the template, which also sees `data` and the functions of numbers.py.
        findings: sentences for the top of the page; none where the numbers do not support one.
    """

    id: str
    title: str
    context: Callable[[ReportData], Mapping[str, object]]
    findings: Callable[[ReportData], list[Finding]] = field(default=lambda data: [])
