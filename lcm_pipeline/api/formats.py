"""The formats on the wire: what is sent, and every answer turned into JSON bytes.

An answer is read by what it is, not by what was asked for: a proxy may answer HTML with any
status and any Content-Type. After this module there is only JSON.
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


def response_as_json(endpoint: Endpoint[Any, Any], content_type: str, body: bytes) -> bytes:
    """Return the body as JSON bytes; raises NotAResponseError when it is neither JSON nor XML.

    The JSON is that of the server: whether it can be decoded is not looked at.
    """
    try:
        body = to_utf8(body, content_type)
    except CharsetError as error:
        raise NotAResponseError(str(error)) from error
    first = body.lstrip()[:1]
    # No page of HTML starts so: a server that only mislabels its JSON is understood.
    if first == b"{":
        return body
    if "html" in content_type.lower().partition(";")[0]:
        raise NotAResponseError(GOT_HTML)
    if first == b"<":
        try:
            return xml_to_json(endpoint.response_type, body)
        except NotXmlError as error:
            raise NotAResponseError(str(error)) from error
    raise NotAResponseError("got neither JSON nor XML" if first else "the response body is empty")
