"""The formats on the wire: what is sent, and every answer turned into JSON bytes.

An answer is read by what it is, not by what was asked for: a proxy may answer HTML with any
status and any Content-Type. After this module there is only JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lcm_pipeline.loyalty_api.endpoints import Endpoint
from lcm_pipeline.loyalty_api.xml_format import NotXmlError, encode_xml, xml_to_json
from lcm_pipeline.model.payloads import Request

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENCODER = msgspec.json.Encoder()


class NotAnAnswerError(ValueError):
    """The body is in neither format; the text says what it looks like."""


@dataclass(frozen=True)
class WireFormat:
    """How requests are written and which answers are asked for."""

    content_type: str
    accept: str
    encode: Callable[[Endpoint[Any, Any], Request], bytes]


def _encode_json(endpoint: Endpoint[Any, Any], request: Request) -> bytes:
    return _ENCODER.encode(request)


JSON = WireFormat("application/json", "application/json", _encode_json)
XML = WireFormat("application/xml; charset=utf-8", "application/xml", encode_xml)
FORMATS = {"json": JSON, "xml": XML}


def answer_as_json(endpoint: Endpoint[Any, Any], content_type: str, body: bytes) -> bytes:
    """Return the body as JSON bytes; raises NotAnAnswerError when it is neither JSON nor XML."""
    kind, _, parameters = content_type.lower().partition(";")
    body = body.removeprefix(_BYTE_ORDER_MARK)
    first = body.lstrip()[:1]
    # No page of HTML starts so: a server that only mislabels its JSON is understood.
    if first == b"{":
        return _as_utf8(body, parameters)
    if "html" in kind:
        raise NotAnAnswerError("HTML came instead of an answer")
    if first == b"<":
        try:
            return xml_to_json(endpoint.response_type, body)
        except NotXmlError as error:
            raise NotAnAnswerError(str(error)) from error
    raise NotAnAnswerError("an empty body came" if not first else "neither JSON nor XML came")


def _as_utf8(body: bytes, parameters: str) -> bytes:
    charset = parameters.partition("charset=")[2].strip().strip('"')
    if charset in ("", "utf-8", "utf8"):
        return body
    try:
        return body.decode(charset).encode()
    except (LookupError, UnicodeDecodeError) as error:
        raise NotAnAnswerError("the text is not in the charset that it names") from error
