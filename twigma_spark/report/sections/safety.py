"""The section on safety: what is known of the images, and which are hidden on this page."""

from __future__ import annotations

from twigma_spark.report.data import Picture, ReportData, Safety
from twigma_spark.report.numbers import WILSON, count, wilson
from twigma_spark.report.section import Finding, Section


def context(data: ReportData) -> dict[str, object]:
    """Return one row a corpus with its share above the threshold, and whether a model has scored anything."""
    return {
        "rows": [(s, wilson(s.above, s.scored)) for s in data.safety],
        "scored": sum(s.scored for s in data.safety),
        "hidden": sum(1 for p in shown(data) if p.hidden_because(data.nsfw_threshold)),
        "pictures": len(shown(data)),
    }


def shown(data: ReportData) -> list[Picture]:
    """Return the pictures on the page."""
    in_pairs = [picture for pair in data.pairs for picture in (pair.post, pair.match)]
    return [picture for theme in data.themes for picture in theme.pictures] + in_pairs


def findings(data: ReportData) -> list[Finding]:
    """Return the share of the posts above the threshold, or that no model has looked."""
    if data.safety and not any(s.scored for s in data.safety):
        return [
            Finding(
                "No NSFW model has looked at the images: those without a flag of their own are hidden here.",
                "Set models.nsfw in the configuration, with the file of a head or an ONNX classifier.",
            )
        ]
    posts = data.of_role("posts")
    return [f for s in data.safety if s.corpus in posts and (f := _above(s, data.nsfw_threshold))]


def _above(safety: Safety, threshold: float) -> Finding | None:
    share = wilson(safety.above, safety.scored)
    if share is None:
        return None
    return Finding(
        f"{share} of the images of {safety.corpus} score above {threshold:g} for NSFW.",
        f"n = {count(safety.scored)} scored images of {count(safety.images)}; {WILSON}; "
        "the model's errors are not part of the interval.",
    )


SECTION = Section("safety", "Safety", context, findings)
