"""Encodes responses as JSON: nulls are written, and money is an exact number, never a float."""

from typing import Any

import msgspec

CONTENT_TYPE = "application/json; charset=utf-8"
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def write_json(content: Any) -> bytes:
    """Encode ints, Decimals, texts, lists and dicts."""
    return _ENCODER.encode(content)
