"""HTTP responses and their JSON, independent of the server that sends them."""

from dataclasses import dataclass
from typing import Any

import msgspec

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: status, body, content type and further headers."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def write_json(content: Any) -> bytes:
    """Encode ints, Decimals, texts, lists and dicts; money as an exact number, never a float."""
    return _ENCODER.encode(content)


def message_reply(status: int, text: str) -> Reply:
    """An error without an ErrorCode, as the service sends it: an object with only a Message."""
    return Reply(status, write_json({"Message": text}))


AN_ERROR = message_reply(500, "An error has occurred.")
DENIED = message_reply(401, "Authorization has been denied for this request.")
