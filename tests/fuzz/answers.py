"""Responses as trees that can contain what no serializer would write, and as JSON or XML text.

An object is a list of members, so that a member can occur twice; `Raw` is text written unchanged.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from lcm_pipeline.simulator.endpoints import ABSTRACTIONS, ENDPOINTS, INSTANCE, Endpoint

SAMPLES = Path(__file__).parents[1] / "samples"
_ERROR_MEMBERS = ("ErrorCode", "Message")


class Members(list[tuple[str, Any]]):
    """An object of a response: its members in order."""

    def at(self, name: str) -> int | None:
        """The index of the first member with this name."""
        return next((at for at, member in enumerate(self) if member[0] == name), None)

    def get(self, name: str) -> Any:
        """The value of the first member with this name."""
        at = self.at(name)
        return None if at is None else self[at][1]

    def put(self, name: str, value: Any) -> None:
        """Replace the first member with this name, or add one."""
        at = self.at(name)
        if at is None:
            self.append((name, value))
        else:
            self[at] = (name, value)


class Raw(str):
    """Text that is written unchanged, in JSON and in XML."""

    __slots__ = ()


class RawText(str):
    """A text whose characters are written unescaped, even if the format forbids them."""

    __slots__ = ()


def tree_of(value: Any) -> Any:
    """Convert a response of dicts and lists into a tree."""
    if isinstance(value, Mapping):
        return Members((name, tree_of(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return [tree_of(inner) for inner in value]
    return value


_LOGIN = (
    '{"access_token": "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6Ijc3NyJ9.c2ln", "token_type": "bearer",'
    ' "expires_in": 3600, "refresh_token": "refresh-1"}'
)


@cache
def _sample_text(name: str) -> str:
    if name == "ManagerLogin":
        return _LOGIN
    return (SAMPLES / f"{name}.response.json").read_text(encoding="utf-8")


def sample(name: str) -> dict[str, Any]:
    """The vendor's JSON sample of an endpoint; for a login, a response seen by public clients."""
    content: dict[str, Any] = json.loads(_sample_text(name), parse_float=Decimal)
    return content


def write_json(tree: Any) -> str:
    """The tree as JSON text."""
    if isinstance(tree, Members):
        return "{" + ",".join(f"{_quoted(name)}:{write_json(v)}" for name, v in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(write_json, tree)) + "]"
    if isinstance(tree, Raw | Decimal):
        return str(tree)
    if isinstance(tree, RawText):
        return '"' + tree.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(tree, str):
        return _quoted(tree)
    return json.dumps(tree)


def _quoted(text: str) -> str:
    # A lone surrogate can only be sent as an escape.
    has_surrogate = any("\ud800" <= char <= "\udfff" for char in text)
    return json.dumps(text, ensure_ascii=has_surrogate)


def write_xml(endpoint: Endpoint, tree: Any, *, prefix: str = "") -> str:
    """The tree as XML text, in the order of DataContractSerializer."""
    if not isinstance(tree, Members):
        return _element(endpoint.response, tree, "")
    mark = f"{prefix}:" if prefix else ""
    space = f":{prefix}" if prefix else ""
    head = f'{mark}{endpoint.response} xmlns:i="{INSTANCE}" xmlns{space}='
    parts = [f'<{head}"{endpoint.response_namespace}">']
    base = "" if endpoint.own_model else f' xmlns="{ABSTRACTIONS}"'
    first = [member for member in tree if member[0] in _ERROR_MEMBERS]
    rest = [member for member in tree if member[0] not in _ERROR_MEMBERS]
    parts += [_element(name, value, base) for name, value in first]
    for name, value in sorted(rest, key=lambda member: member[0]):
        if isinstance(value, list) and not isinstance(value, Members):
            item = endpoint.items.get(name, "item")
            rows = "".join(_element(item, row, "") for row in value)
            parts.append(f"<{mark}{name}>{rows}</{mark}{name}>")
        else:
            parts.append(_element(mark + name, value, base if name in _ERROR_MEMBERS else ""))
    parts.append(f"</{mark}{endpoint.response}>")
    return "".join(parts)


def _element(name: str, value: Any, space: str) -> str:
    if value is None:
        return f'<{name} i:nil="true"{space}/>'
    return f"<{name}{space}>{_content(value)}</{name}>"


def _content(value: Any) -> str:
    if isinstance(value, Members):
        return "".join(_element(name, inner, "") for name, inner in sorted(value, key=_name))
    if isinstance(value, list):
        return "".join(_element("item", inner, "") for inner in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Raw):
        return value.strip('"').replace("&", "&amp;").replace("<", "&lt;")
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, RawText):
        return text
    return "".join(_reference(char) if _is_forbidden(char) else char for char in text)


def _name(member: tuple[str, Any]) -> str:
    return member[0]


def _reference(char: str) -> str:
    return f"&#{ord(char)};"


def _is_forbidden(char: str) -> bool:
    return (char < " " and char not in "\t\n\r") or "\ud800" <= char <= "\udfff"


def endpoint_of(name: str) -> Endpoint:
    """The endpoint of the contract with the vendor's name."""
    return ENDPOINTS[name]
