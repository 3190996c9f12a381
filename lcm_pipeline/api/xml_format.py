"""The XML format of .NET's DataContractSerializer.

Requests: base members first, in the Abstractions namespace, then the request's own members in
alphabetical order; the server silently ignores a misplaced element. Responses: elements are matched
by local name, with any prefix and namespace, and converted to the JSON that the server would have
sent, except that every value is a string: nil is null, an absent element is absent, an empty one
is "".
"""

from functools import cache
from typing import Any, get_args, get_origin
from xml.sax.saxutils import escape

import msgspec
from lxml import etree

from lcm_pipeline.api.xml_characters import mark_forbidden, unmark_forbidden
from lcm_pipeline.model.endpoints import Endpoint
from lcm_pipeline.model.payloads import Request, Response

ABSTRACTIONS = (
    "http://schemas.datacontract.org/2004/07/LCManagerPartner.Implementation.Abstractions"
)
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
GOT_HTML = "got HTML instead of JSON or XML"

_NIL = f"{{{INSTANCE}}}nil"
_BASE_MEMBERS = ("Operator", "SiteCode", "Token")
_ENCODER = msgspec.json.Encoder()


class NotXmlError(ValueError):
    """The body is not an XML response of the service."""


def encode_xml(endpoint: Endpoint[Any, Any], request: Request) -> bytes:
    """Encode a request; unset members are left out."""
    name = type(request).__name__
    parts = [f'<{name} xmlns:i="{INSTANCE}" xmlns="{endpoint.contract}">']
    for member in _BASE_MEMBERS:
        value = getattr(request, member)
        if value is not None:
            parts.append(f'<{member} xmlns="{ABSTRACTIONS}">{_encode_value(value)}</{member}>')
    parts += _encode_members(request, skipped=_BASE_MEMBERS)
    parts.append(f"</{name}>")
    return "".join(parts).encode()


def _encode_members(struct: msgspec.Struct, skipped: tuple[str, ...] = ()) -> list[str]:
    parts = []
    for member in _alphabetical(type(struct)):
        value = getattr(struct, member)
        if value is not None and member not in skipped:
            parts.append(f"<{member}>{_encode_value(value)}</{member}>")
    return parts


def _encode_value(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        return "".join(_encode_members(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    # XML parsers normalise a bare carriage return to a line feed.
    return escape(str(value), {"\r": "&#13;"})


def xml_to_json(response_type: type[Response], body: bytes) -> bytes:
    """Convert a response to JSON bytes; raises NotXmlError for HTML, a DTD or broken XML.

    A character that XML does not allow is written to the JSON as a JSON server would have sent it:
    a reference as an escape, a raw one raw, which decoders reject. So at most its own row is lost.
    """
    try:
        root = _parse(body)
    except NotXmlError:
        marked = mark_forbidden(body)
        if marked is None:
            raise
        return unmark_forbidden(_ENCODER.encode(_decode_response(response_type, _parse(marked))))
    return _ENCODER.encode(_decode_response(response_type, root))


def _decode_response(response_type: type[Response], root: Any) -> dict[str, Any]:
    if _local_name(root).lower() == "html":
        raise NotXmlError(GOT_HTML)
    lists = _list_members(response_type)
    members: dict[str, Any] = {}
    for element in root:
        name = _local_name(element)
        members[name] = _decode_list(element) if name in lists else _decode_value(element)
    return members


def _parse(body: bytes) -> Any:
    parser = etree.XMLParser(
        # `charsets` has converted the body, whatever its declaration says.
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body.lstrip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        is_html = body.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))
        raise NotXmlError(GOT_HTML if is_html else "the XML is broken or cut off") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise NotXmlError("an XML response with a document type is rejected")
    return root


def _decode_list(element: Any) -> Any:
    """Return the items of a list, None for nil, or the text of an element that is not a list."""
    if _is_nil(element):
        return None
    if len(element) == 0 and (element.text or "").strip():
        return element.text
    return [_decode_value(item) for item in element]


def _decode_value(element: Any) -> Any:
    """Return the text of a leaf, the members of a nested element, or None for nil."""
    if len(element) == 0:
        return None if _is_nil(element) else element.text or ""
    members: dict[str, Any] = {}
    for child in element:
        name, value = _local_name(child), _decode_value(child)
        if name not in members:
            members[name] = value
        elif isinstance(members[name], list):
            members[name].append(value)
        else:
            members[name] = [members[name], value]
    return members


def _is_nil(element: Any) -> bool:
    return element.get(_NIL) in ("true", "1")


def _local_name(element: Any) -> str:
    name: str = element.tag
    return name.rpartition("}")[2]


@cache
def _alphabetical(struct_type: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(sorted(struct_type.__struct_fields__))


@cache
def _list_members(response_type: type[Response]) -> frozenset[str]:
    fields = msgspec.structs.fields(response_type)
    return frozenset(f.name for f in fields if any(get_origin(a) is list for a in get_args(f.type)))
