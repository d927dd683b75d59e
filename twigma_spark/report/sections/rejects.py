"""The section on what was refused and why."""

from __future__ import annotations

from twigma_spark.report.data import ReportData
from twigma_spark.report.numbers import count
from twigma_spark.report.section import Finding, ReportSection

REASONS = {
    "dangling_link": "a link that leads nowhere",
    "duplicate_key": "the metadata names the file again",
    "empty_file": "the file has no bytes",
    "id_damaged": "a program has turned the post's id into a floating-point number",
    "hidden_name": "Spark reads no file from there whose name, or whose folder's, starts with . or _",
    "link_circle": "a link to a folder that it lies in",
    "link_out_of_corpus": "a link out of the corpus, which ingest.follow_links forbids",
    "metadata_not_utf8": "a line or page that is not UTF-8",
    "metadata_unreadable": "a line or page that cannot be parsed",
    "missing_column": "the metadata lacks a column that the configuration names",
    "missing_file": "named, but there is no such file",
    "no_image": "a judgement of an image that is not among the kept images",
    "no_post": "a file that no post shows",
    "not_a_file": "a pipe, a socket or a device",
    "not_a_photo": "a video or an animation",
    "not_an_image": "the bytes are no image that can be opened",
    "purged": "purged, and not taken in again",
    "too_many_bytes": "larger than ingest.max_bytes, or than memory allows",
    "too_many_pixels": "more pixels than ingest.max_pixels allows",
    "too_many_scans": "a progressive JPEG of so many scans that decoding it takes long",
    "not_utf8": "a line of text that is not UTF-8",
    "post_without_id": "a post without an id",
    "unknown_platform": "a post of a platform that is not known",
    "undecodable": "an image that is broken or cut off",
    "unreadable_archive": "a tar that cannot be read to its end; the images before are used",
    "unreadable_file": "gone since it was listed, or without permission",
    "unreadable_folder": "a folder that may not be read",
    "value_unusable": "a date, number or flag that cannot be understood; it is null",
    "vector_length": "an embedding of another length than the others",
    "vector_not_finite": "an embedding with NaN or infinity",
    "vector_zero": "an embedding of zeros only",
}


def context(data: ReportData) -> dict[str, object]:
    """Return the refused, most frequent first, with what their reasons mean."""
    rows = sorted(data.rejects, key=lambda r: (-r.count, r.stage, r.reason, r.corpus, r.unit))
    return {"rows": rows, "reasons": REASONS, "total": sum(r.count for r in rows)}


def findings(data: ReportData) -> list[Finding]:
    """Return the most common reason, where anything was refused."""
    reasons: dict[tuple[str, str], int] = {}
    for row in data.rejects:
        key = (row.unit, row.reason)
        reasons[key] = reasons.get(key, 0) + row.count
    if not reasons:
        return []
    (unit, reason), most = max(reasons.items(), key=lambda item: (item[1], item[0]))
    total = sum(r.count for r in data.rejects)
    why = f"for {len({r for _, r in reasons})} reasons" if len(reasons) > 1 else "for one reason"
    text = f"{count(total)} rows were refused {why}, most often {unit} rows as “{reason}” ({count(most)})."
    return [Finding(text, "Complete count of the table rejects; no interval.")]


SECTION = ReportSection("rejects", "Rejected", context, findings)
