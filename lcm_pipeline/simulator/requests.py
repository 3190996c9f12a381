"""Parses a request as the service does: only known fields, and only those of the right type.

A field of the wrong type is silently dropped, and its filter with it. To a body that is not a
request at all the service responds with HTTP 500.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from lxml import etree

from lcm_pipeline.simulator.endpoints import (
    ABSTRACTIONS,
    BASE_FIELDS,
    INSTANCE,
    REG_FIELDS,
    Endpoint,
    Kind,
)
from lcm_pipeline.simulator.moments import read_moment

Request = dict[str, Any]
# The service has 64-bit integers.
_INTEGER_LIMIT = 2**63
_PARSER_OPTIONS = {"resolve_entities": False, "no_network": True, "remove_comments": True}


class UnreadableError(ValueError):
    """The body is not a request of the endpoint."""


def read_json(endpoint: Endpoint, body: bytes) -> Request:
    """Parse a JSON body; raises UnreadableError."""
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"not JSON: {error}") from error
    if not isinstance(sent, dict):
        raise UnreadableError("not a JSON object")
    return _keep_typed(sent, {**BASE_FIELDS, **endpoint.fields})


def _keep_typed(sent: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Request:
    request: Request = {}
    for name, kind in kinds.items():
        value = sent.get(name)
        if value is not None and (fitting := _fitting(value, kind)) is not None:
            request[name] = fitting
    return request


def _fitting(value: Any, kind: Kind) -> Any:
    """The value if it is of the kind, with a date in ticks; otherwise None."""
    if kind == "integer":
        # A JSON boolean is not an integer, although bool is a subclass of int.
        fits = isinstance(value, int) and not isinstance(value, bool)
        return value if fits and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "reg":
        return _keep_typed(value, REG_FIELDS) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return None
    return read_moment(value) if kind == "date" else value


def read_xml(endpoint: Endpoint, body: bytes) -> Request:
    """Parse an XML body by the rules of DataContractSerializer; raises UnreadableError."""
    try:
        root = etree.fromstring(body, etree.XMLParser(**_PARSER_OPTIONS))
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"not XML: {error}") from error
    namespace = endpoint.request_namespace
    if root.tag != f"{{{namespace}}}{endpoint.request}":
        raise UnreadableError(f"the root element is {root.tag}")
    base = [(f"{{{ABSTRACTIONS}}}{name}", name) for name in BASE_FIELDS]
    own = [(f"{{{namespace}}}{name}", name) for name in sorted(endpoint.fields)]
    kinds = {**BASE_FIELDS, **endpoint.fields}
    return _read_members(root, [*base, *own], kinds)


def _read_members(
    parent: Any, expected: list[tuple[str, str]], kinds: Mapping[str, Kind]
) -> Request:
    """Parse the children that are in the expected order; a misplaced one is ignored."""
    request: Request = {}
    position = 0
    tags = [tag for tag, _ in expected]
    for element in parent:
        if element.tag not in tags[position:]:
            continue
        position = tags.index(element.tag, position)
        name = expected[position][1]
        position += 1
        if element.get(f"{{{INSTANCE}}}nil") in ("true", "1"):
            continue
        fitting = _read_member(element, kinds[name])
        if fitting is not None:
            request[name] = fitting
    return request


def _read_member(element: Any, kind: Kind) -> Any:
    text = element.text or ""
    if kind == "reg":
        namespace = str(element.tag).rpartition("}")[0] + "}"
        expected = [(namespace + name, name) for name in REG_FIELDS]
        return _read_members(element, expected, REG_FIELDS)
    if kind == "integer":
        digits = text.strip()
        fits = digits.removeprefix("-").isdecimal() and digits.isascii()
        return _fitting(int(digits), kind) if fits else None
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip())
    return _fitting(text.strip() if kind == "date" else text, kind)
