"""The wire formats: encodes requests, and converts every response to JSON bytes.

The format of a response is detected from its content, not from the request: a proxy may return HTML
with any status and any Content-Type. Other modules handle JSON only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lcm_pipeline.api.charsets import CharsetError, to_utf8
from lcm_pipeline.api.xml_format import GOT_HTML, NotXmlError, encode_xml, xml_to_json
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.payloads import Request

_ENCODER = msgspec.json.Encoder()


class NotAResponseError(ValueError):
    """The body is in neither format; the message says what it looks like."""


@dataclass(frozen=True)
class WireFormat:
    """How requests are encoded, and which format of responses they accept."""

    content_type: str
    accept: str
    encode: Callable[[Endpoint[Any, Any], Request], bytes]


JSON = WireFormat(
    "application/json", "application/json", lambda endpoint, request: _ENCODER.encode(request)
)
XML = WireFormat("application/xml; charset=utf-8", "application/xml", encode_xml)
FORMATS = {"json": JSON, "xml": XML}


def response_as_json(endpoint: Endpoint[Any, Any], content_type: str, body: bytes) -> bytes:
    """Return the body as JSON bytes; raises NotAResponseError when it is neither JSON nor XML.

    JSON is returned as the server sent it, without checking whether it can be decoded.
    """
    try:
        body = to_utf8(body, content_type)
    except CharsetError as error:
        raise NotAResponseError(str(error)) from error
    first = body.lstrip()[:1]
    # Before the check of the Content-Type, as some servers label their JSON as text/html.
    if first == b"{":
        return body
    if "html" in content_type.lower().partition(";")[0]:
        raise NotAResponseError(GOT_HTML)
    if first == b"<":
        try:
            return xml_to_json(endpoint.response_type, body)
        except NotXmlError as error:
            raise NotAResponseError(str(error)) from error
    if not first:
        raise NotAResponseError("the response body is empty")
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        raise NotAResponseError("got neither JSON nor XML") from None
    raise NotAResponseError("got JSON, but no object: null, a list, a text or a number")
