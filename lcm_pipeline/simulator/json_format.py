"""Answers as JSON: nulls written out, money as exact numbers, never through a float."""

from typing import Any

import msgspec

CONTENT_TYPE = "application/json; charset=utf-8"
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def write_json(content: Any) -> bytes:
    """Write any content of ints, Decimals, texts, lists and dicts."""
    return _ENCODER.encode(content)
