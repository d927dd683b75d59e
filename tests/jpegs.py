"""Damage to JPEG files."""

from __future__ import annotations


def overfill_huffman_table(content: bytes) -> bytes:
    """Return the file with a table of more codes than there are: header and end are whole, and no decoder reads it."""
    lengths = content.index(b"\xff\xc4") + 5
    return content[:lengths] + b"\xff" * 16 + content[lengths + 16 :]
