"""HTTP responses, independent of the server that sends them."""

from dataclasses import dataclass, field

from lcm_pipeline.simulator import json_format


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: status, body, content type and further headers."""

    status: int
    body: bytes
    content_type: str = json_format.CONTENT_TYPE
    headers: tuple[tuple[str, str], ...] = field(default=())


def message_reply(status: int, text: str) -> Reply:
    """An error without an ErrorCode, as the service sends it: an object with only a Message."""
    return Reply(status, json_format.write_json({"Message": text}))


AN_ERROR = message_reply(500, "An error has occurred.")
DENIED = message_reply(401, "Authorization has been denied for this request.")
HTML_TYPE = "text/html; charset=utf-8"
