"""The XML format, as .NET's DataContractSerializer reads and writes it.

Requests: base members first, in the Abstractions namespace, then the request's own members in
alphabetical order; the server ignores a misplaced element in silence. Answers: any prefix and any
namespace, matched by local name, become the JSON that the server would have sent, but with every
value a text: nil is null, an absent element is absent, an empty one is "".
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
    """The body is no XML answer of the service."""


def encode_xml(endpoint: Endpoint[Any, Any], request: Request) -> bytes:
    """Write a request; unset members are left out."""
    name = type(request).__name__
    parts = [f'<{name} xmlns:i="{INSTANCE}" xmlns="{endpoint.contract}">']
    for member in _BASE_MEMBERS:
        value = getattr(request, member)
        if value is not None:
            parts.append(f'<{member} xmlns="{ABSTRACTIONS}">{_text_of(value)}</{member}>')
    parts += _members(request, skipped=_BASE_MEMBERS)
    parts.append(f"</{name}>")
    return "".join(parts).encode()


def _members(struct: msgspec.Struct, skipped: tuple[str, ...] = ()) -> list[str]:
    parts = []
    for member in _alphabetical(type(struct)):
        value = getattr(struct, member)
        if value is not None and member not in skipped:
            parts.append(f"<{member}>{_text_of(value)}</{member}>")
    return parts


def _text_of(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        return "".join(_members(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    # A bare carriage return would be read back as a line feed.
    return escape(str(value), {"\r": "&#13;"})


def xml_to_json(response_type: type[Response], body: bytes) -> bytes:
    """Turn a response into JSON bytes; raises NotXmlError for HTML, a DTD or broken XML.

    A character that XML does not allow is written into the JSON as a server of JSON would have
    sent it: raw, which no decoder takes. So it costs the row that holds it, and no other.
    """
    try:
        root = _parse(body)
    except NotXmlError:
        marked = mark_forbidden(body)
        if marked is None:
            raise
        return unmark_forbidden(_ENCODER.encode(_members_of(response_type, _parse(marked))))
    return _ENCODER.encode(_members_of(response_type, root))


def _members_of(response_type: type[Response], root: Any) -> dict[str, Any]:
    if _local_name(root).lower() == "html":
        raise NotXmlError(GOT_HTML)
    lists = _list_members(response_type)
    members: dict[str, Any] = {}
    for element in root:
        name = _local_name(element)
        members[name] = _items(element) if name in lists else _value(element)
    return members


def _parse(body: bytes) -> Any:
    parser = etree.XMLParser(
        # The body is UTF-8 by now, whatever its declaration says.
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
        raise NotXmlError("an XML response with a document type is not read")
    return root


def _items(element: Any) -> Any:
    """Return the items of a list, None for nil, or the text of what is no list."""
    if _is_nil(element):
        return None
    if len(element) == 0 and (element.text or "").strip():
        return element.text
    return [_value(item) for item in element]


def _value(element: Any) -> Any:
    """Return the text of a leaf, the members of an inner element, or None for nil."""
    if len(element):
        return _inner_members(element)
    return None if _is_nil(element) else element.text or ""


def _inner_members(element: Any) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for child in element:
        name, value = _local_name(child), _value(child)
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
