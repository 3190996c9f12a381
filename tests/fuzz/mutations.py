"""Defects of a response, as data: a mutant lists its mutations, and `mutate` applies them.

Mutations are lists of JSON values, so that a mutant is a line of text. They are applied from the
inside out: to the tree, its text, the bytes, then to the HTTP response. Positions are fractions, or
indexes modulo the length, so that each mutation can be applied to each response.
"""

import gzip
import json
import random
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.answers import (
    Members,
    Raw,
    RawText,
    endpoint_of,
    sample,
    tree_of,
    write_json,
    write_xml,
)

Mutation = tuple[Any, ...]
JSON_TYPE, XML_TYPE = "application/json; charset=utf-8", "application/xml; charset=utf-8"

_TREE = ("set", "drop", "rename", "double", "add", "copy", "remove", "order", "total", "rows",
         "repeat", "whole")  # fmt: skip
_TEXT = ("insert", "replace", "prefix", "suffix", "wrap", "pad")
_BYTES = ("encode", "flip", "delete", "put", "html", "empty")
_HTTP = ("status", "line", "type", "coding", "header", "long", "many", "length", "frame", "cut",
         "drip", "early", "extra", "stall", "close")  # fmt: skip
LEVELS = {
    name: level for level, names in enumerate((_TREE, _TEXT, _BYTES, _HTTP)) for name in names
}

HTML = (
    "<!DOCTYPE html><html><head><title>502</title></head><body>nginx</body></html>",
    "<html><body><h1>Service Unavailable</h1></body></html>",
    "<HTML><TITLE>Runtime Error</TITLE><BODY>Server Error in '/' Application.</BODY></HTML>",
)
TOTALS = {
    "OperationHistory": "Rows",
    "LeadsPagingInfo": "TotalRows",
    "ClientFavoriteDataInfo": "TotalRows",
}
ROWS = {
    "ClientInfoPeriod": "Clients",
    "OperationHistory": "Operations",
    "LeadsPagingInfo": "LeadsClients",
    "ClientFavoriteDataInfo": "ClientFavorites",
}
_KEYS = {"Operations": "Id", "LeadsClients": "Leads", "ClientFavorites": "Id", "Clients": "Card"}


@dataclass(frozen=True)
class Mutant:
    """One defective response to one call.

    source: the response to mutate: "answer", the right one; "sample", the vendor's sample with
    distinct keys and ErrorCode 0; "vendor", the vendor's sample unchanged; "other", the right one
    of another client. when: "always", or "first": the second and later responses are right.
    goods: for favourites, whether it applies to the calls for the goods of an offer.
    """

    endpoint: str
    mutations: tuple[Mutation, ...]
    source: str = "answer"
    format: str = "json"
    when: str = "always"
    goods: bool = False

    def to_json(self) -> dict[str, Any]:
        """The mutant as JSON values."""
        return {**vars(self), "mutations": [list(one) for one in self.mutations]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Mutant":
        """The reverse of `to_json`."""
        mutations = tuple(tuple(one) for one in values["mutations"])
        return cls(**{**values, "mutations": mutations})

    def __str__(self) -> str:
        return json.dumps(self.to_json())


@dataclass
class Response:
    """The parts of a response; `wire` joins them."""

    entity: bytes = b""
    body: bytes = b""
    content_type: bytes | None = b""
    version: bytes = b"HTTP/1.1"
    status: int = 200
    reason: bytes = b"OK"
    line: bytes | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    framing: str = "length"
    stated_length: int | None = None
    cut: float | None = None
    resets: bool = False
    pieces: int = 1
    pause: float = 0.0
    early: bytes = b""
    extra: bytes = b""
    stall: float = 0.0
    closes: bool = False
    # Mutations that cannot be judged from the entity alone.
    oddities: set[str] = field(default_factory=set)

    def wire(self) -> bytes:
        """All bytes that are sent."""
        line = self.line
        if line is None:
            line = b"%s %03d %s" % (self.version, self.status, self.reason)
        head = [line]
        if self.content_type is not None:
            head.append(b"Content-Type: " + self.content_type)
        head += [name + b": " + value for name, value in self.headers]
        body = self.body
        if self.framing == "length":
            length = len(body) if self.stated_length is None else self.stated_length
            head.append(b"Content-Length: %d" % length)
        elif self.framing.startswith("chunked"):
            head.append(b"Transfer-Encoding: chunked")
            body = _chunked(body, self.framing)
        # Otherwise the caller might send its next request on a closed connection.
        if self.ends_connection and not self.resets:
            head.append(b"Connection: close")
        if self.cut is not None:
            body = body[: min(len(body) - 1, int(len(body) * self.cut))] if body else b""
        return self.early + b"\r\n".join(head) + b"\r\n\r\n" + body + self.extra

    @property
    def is_cut_off(self) -> bool:
        """Whether less is sent than the Content-Length announced."""
        is_short = self.cut is not None and self.framing == "length" and bool(self.body)
        return is_short and self.stated_length is None

    @property
    def ends_connection(self) -> bool:
        """Whether the connection is closed after it: otherwise a caller might wait for more."""
        may_be_awaited = {"line", "header", "framing", "length", "cut"} & self.oddities
        return (
            self.closes
            or self.resets
            or self.framing == "close"
            or self.status < 200
            or bool(may_be_awaited)
        )


def value_of(spec: Sequence[Any]) -> Any:
    """The value of a specification such as ["str", "x"] or ["json", "1e400"]."""
    kind, *rest = spec
    if kind == "str":
        return rest[0]
    if kind == "raw":
        return RawText(rest[0])
    if kind == "json":
        return Raw(rest[0])
    if kind == "repeat":
        return rest[0] * rest[1]
    if kind == "noise":
        chance = random.Random(rest[0])
        return "".join(
            chance.choices("абвгдежзиклмнопрстуфхцчшщэюяqwertyuiop0123456789", k=rest[1])
        )
    if kind == "nest":
        opening, closing = ("[", "]") if rest[0] == "[" else ('{"a":', "}")
        return Raw(opening * rest[1] + "1" + closing * rest[1])
    if kind == "jwt":
        parts = ('{"alg":"HS256"}', rest[0], "signature")
        return ".".join(urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts)
    assert kind == "tree", kind
    return tree_of(rest[0])


def mutate(
    mutant: Mutant,
    right: Mapping[str, Any],
    *,
    client: int = 0,
    day: str = "",
    other: Mapping[str, Any] | None = None,
) -> Response:
    """Make the response of a mutant from the right one, `right`.

    client, day: the client or the registration day of the call. other: the right response of
    another client.
    """
    name = mutant.endpoint
    if mutant.source == "other" and other is not None:
        tree = tree_of(other)
    elif mutant.source in ("sample", "vendor"):
        tree = _sample_tree(name, client, day, is_valid=mutant.source == "sample")
    else:
        tree = tree_of(right)
    levels: list[list[Mutation]] = [[], [], [], []]
    for mutation in mutant.mutations:
        levels[LEVELS[mutation[0]]].append(mutation)
    for mutation in levels[0]:
        tree = _TREE_FUNCTIONS[mutation[0]](name, tree, *mutation[1:])
    is_xml = mutant.format == "xml" and name != "ManagerLogin"
    text = write_xml(endpoint_of(name), tree) if is_xml else write_json(tree)
    for mutation in levels[1]:
        text = _TEXT_FUNCTIONS[mutation[0]](text, *mutation[1:])
    codec = next((m[1] for m in reversed(levels[2]) if m[0] == "encode"), "utf-8")
    body = text.encode(codec, "surrogatepass" if codec.startswith("utf") else "replace")
    for mutation in levels[2]:
        if mutation[0] != "encode":
            body = _BYTES_FUNCTIONS[mutation[0]](body, *mutation[1:])
    content_type = XML_TYPE if is_xml else JSON_TYPE
    response = Response(body, body, content_type.encode())
    for mutation in levels[3]:
        _HTTP_FUNCTIONS[mutation[0]](response, *mutation[1:])
    return response


def _sample_tree(name: str, client: int, day: str, *, is_valid: bool) -> Any:
    content = sample(name)
    if is_valid:
        content["ErrorCode"], content["Message"] = 0, None
        if "Client" in content:
            content["Client"] = client
        rows = content.get(ROWS.get(name, ""), [])
        for number, row in enumerate(rows):
            row[_KEYS[ROWS[name]]] = client * 10 + number
            if "RegDate" in row:
                row["RegDate"] = f"{day}T10:00:00"
                row["Client"] = row["Card"] = 9_000_000 + int(day.replace("-", "")) + number
        if name in TOTALS:
            content[TOTALS[name]] = len(rows)
    return tree_of(content)


# The tree. A path is ["", member] of the response or [list, index, member] of a row.


def _holder(tree: Any, path: Sequence[Any]) -> tuple[Members | None, str]:
    if not isinstance(tree, Members):
        return None, ""
    if path[0] == "":
        return tree, path[1]
    rows = tree.get(path[0])
    if not isinstance(rows, list) or isinstance(rows, Members) or not rows:
        return None, path[2]
    row = rows[path[1] % len(rows)]
    return (row if isinstance(row, Members) else None), path[2]


def _set(_name: str, tree: Any, path: Sequence[Any], spec: Sequence[Any]) -> Any:
    holder, member = _holder(tree, path)
    if holder is not None:
        holder.put(member, value_of(spec))
    return tree


def _drop(_name: str, tree: Any, path: Sequence[Any]) -> Any:
    holder, member = _holder(tree, path)
    if holder is not None and (at := holder.at(member)) is not None:
        del holder[at]
    return tree


def _rename(_name: str, tree: Any, path: Sequence[Any], new: Sequence[Any]) -> Any:
    holder, member = _holder(tree, path)
    if holder is not None and (at := holder.at(member)) is not None:
        holder[at] = (value_of(new), holder[at][1])
    return tree


def _double(_name: str, tree: Any, path: Sequence[Any], spec: Sequence[Any] | None) -> Any:
    holder, member = _holder(tree, path)
    if holder is not None and (at := holder.at(member)) is not None:
        holder.append((member, holder[at][1] if spec is None else value_of(spec)))
    return tree


def _add(
    _name: str, tree: Any, path: Sequence[Any], new: Sequence[Any], spec: Sequence[Any]
) -> Any:
    holder, _ = _holder(tree, path)
    if holder is not None:
        holder.append((value_of(new), value_of(spec)))
    return tree


def _rows_of(tree: Any, listed: str) -> list[Any] | None:
    rows = tree.get(listed) if isinstance(tree, Members) else None
    return rows if isinstance(rows, list) and not isinstance(rows, Members) else None


def _copy(_name: str, tree: Any, listed: str, at: int, spec: Sequence[Any] | None) -> Any:
    rows = _rows_of(tree, listed)
    if rows is not None and spec is not None:
        rows.insert(at % (len(rows) + 1), value_of(spec))
    elif rows:
        row = rows[at % len(rows)]
        rows.append(Members(row) if isinstance(row, Members) else row)
    return tree


def _remove(_name: str, tree: Any, listed: str, at: int) -> Any:
    if rows := _rows_of(tree, listed):
        del rows[at % len(rows)]
    return tree


def _order(_name: str, tree: Any, listed: str, how: str) -> Any:
    if rows := _rows_of(tree, listed):
        rows[:] = rows[::-1] if how == "reverse" else [*rows[1:], rows[0]]
    return tree


def _total(name: str, tree: Any, by: int) -> Any:
    if isinstance(tree, Members) and name in TOTALS:
        total = tree.get(TOTALS[name])
        tree.put(TOTALS[name], (total if isinstance(total, int) else 0) + by)
    return tree


def _rows(_name: str, tree: Any, listed: str, spec: Sequence[Any] | None) -> Any:
    if isinstance(tree, Members):
        if spec is not None:
            tree.put(listed, value_of(spec))
        elif (at := tree.at(listed)) is not None:
            del tree[at]
    return tree


def _repeat(_name: str, tree: Any, listed: str, times: int) -> Any:
    if rows := _rows_of(tree, listed):
        rows *= times
    return tree


def _whole(_name: str, _tree: Any, spec: Sequence[Any]) -> Any:
    return value_of(spec)


_TREE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "set": _set, "drop": _drop, "rename": _rename, "double": _double, "add": _add, "copy": _copy,
    "remove": _remove, "order": _order, "total": _total, "rows": _rows, "repeat": _repeat,
    "whole": _whole,
}  # fmt: skip


# The text.


def _at(length: int, fraction: float) -> int:
    return min(length, int(length * fraction))


def _insert(text: str, fraction: float, what: str) -> str:
    at = _at(len(text), fraction)
    return text[:at] + what + text[at:]


def _replace(text: str, old: str, new: str, count: int) -> str:
    return text.replace(old, new, count)


def _prefix(text: str, what: str) -> str:
    return what + text


def _suffix(text: str, what: str) -> str:
    return text + what


def _wrap(text: str, before: str, after: str) -> str:
    return before + text + after


def _pad(text: str, where: str, count: int) -> str:
    return " " * count + text if where == "before" else text + " " * count


_TEXT_FUNCTIONS: dict[str, Callable[..., str]] = {
    "insert": _insert, "replace": _replace, "prefix": _prefix, "suffix": _suffix, "wrap": _wrap,
    "pad": _pad,
}  # fmt: skip


# The bytes.


def _flip(body: bytes, fractions: Sequence[float], mask: int) -> bytes:
    changed = bytearray(body)
    for fraction in fractions:
        if changed:
            changed[min(len(changed) - 1, _at(len(changed), fraction))] ^= mask
    return bytes(changed)


def _delete(body: bytes, fraction: float, count: int) -> bytes:
    at = _at(len(body), fraction)
    return body[:at] + body[at + count :]


def _put(body: bytes, fraction: float, what: str) -> bytes:
    at = _at(len(body), fraction)
    return body[:at] + bytes.fromhex(what) + body[at:]


def _html(_body: bytes, which: int) -> bytes:
    return HTML[which % len(HTML)].encode()


def _empty(_body: bytes, what: str) -> bytes:
    return what.encode()


_BYTES_FUNCTIONS: dict[str, Callable[..., bytes]] = {
    "flip": _flip, "delete": _delete, "put": _put, "html": _html, "empty": _empty,
}  # fmt: skip


# HTTP.


def _status(response: Response, status: int, reason: str) -> None:
    response.status, response.reason = status, bytes.fromhex(reason)


def _line(response: Response, line: str) -> None:
    response.line = line.encode("latin-1")
    response.oddities.add("line")


def _type(response: Response, content_type: str | None) -> None:
    response.content_type = None if content_type is None else content_type.encode("latin-1")


def _coding(response: Response, label: str | None, how: str) -> None:
    body = response.body
    if how == "gzip":
        body = gzip.compress(body, 1, mtime=0)
    elif how == "members":
        half = len(body) // 2
        body = gzip.compress(body[:half], 1, mtime=0) + gzip.compress(body[half:], 1, mtime=0)
    elif how == "cut":
        body = gzip.compress(body, 1, mtime=0)
        body = body[: len(body) * 2 // 3]
        response.oddities.add("cut coding")
    elif how == "trailing":
        body = gzip.compress(body, 1, mtime=0) + b"\0\0garbage"
        response.oddities.add("coding")
    elif how == "twice":
        body = gzip.compress(gzip.compress(body, 1, mtime=0), 1, mtime=0)
        response.oddities.add("coding")
    elif how == "zlib":
        body = zlib.compress(body, 1)
    elif how == "deflate":
        body = zlib.compress(body, 1)[2:-4]
    elif how == "bomb":
        body = gzip.compress(body + b" " * 24_000_000, 1, mtime=0)
        response.oddities.add("large")
    elif how == "corrupt":
        body = bytearray(gzip.compress(body, 1, mtime=0))
        body[len(body) // 2] ^= 0x55
        body = bytes(body)
        response.oddities.add("coding")
    else:
        assert how == "plain", how
        response.oddities.add("coding")
    response.body = body
    if label is not None:
        response.headers.append((b"Content-Encoding", label.encode("latin-1")))
    elif how != "plain":
        response.oddities.add("coding")
    if label not in (None, *_LABELS.get(how, ())):
        response.oddities.add("coding")


_LABELS = {
    "gzip": ("gzip", "x-gzip", "GZIP"),
    "members": ("gzip", "x-gzip"),
    "zlib": ("deflate",),
    "deflate": ("deflate",),
    "bomb": ("gzip",),
    "cut": ("gzip",),
}


def _header(response: Response, name: str, value: str) -> None:
    response.headers.append((name.encode("latin-1"), value.encode("latin-1")))
    if name.lower() not in ("retry-after", "location", "x-trace"):
        response.oddities.add("header")


def _long(response: Response, name: str, length: int) -> None:
    response.headers.append((name.encode("latin-1"), b"x" * length))
    response.oddities.add("header")


def _many(response: Response, count: int) -> None:
    response.headers += [(b"X-Number-%d" % number, b"1") for number in range(count)]
    response.oddities.add("header")


def _length(response: Response, by: int) -> None:
    response.stated_length = max(0, len(response.body) + by) if by > -1_000_000 else -5
    response.oddities.add("length")


def _frame(response: Response, how: str) -> None:
    response.framing = how
    if how not in ("chunked", "close"):
        response.oddities.add("framing")


def _cut(response: Response, fraction: float, resets: bool) -> None:
    response.cut, response.resets = fraction, resets
    response.oddities.add("cut")


def _drip(response: Response, pieces: int, milliseconds: int) -> None:
    response.pieces, response.pause = pieces, milliseconds / 1000


def _early(response: Response, text: str) -> None:
    response.early = text.encode("latin-1")
    response.oddities.add("early")


def _extra(response: Response, text: str) -> None:
    response.extra = text.encode("latin-1")
    response.oddities.add("extra")


def _stall(response: Response, seconds: float) -> None:
    response.stall = seconds
    response.oddities.add("stall")


def _close(response: Response) -> None:
    response.closes = True


_HTTP_FUNCTIONS: dict[str, Callable[..., None]] = {
    "status": _status, "line": _line, "type": _type, "coding": _coding, "header": _header,
    "long": _long, "many": _many, "length": _length, "frame": _frame, "cut": _cut, "drip": _drip,
    "early": _early, "extra": _extra, "stall": _stall, "close": _close,
}  # fmt: skip


def _chunked(body: bytes, how: str) -> bytes:
    step = max(1, len(body) // 3)
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    written = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    ends = {
        "chunked": b"0\r\n\r\n",
        "chunked-trailer": b"0\r\nX-Trailer: 1\r\n\r\n",
        "chunked-unended": b"",
        "chunked-bad-size": b"zz\r\n\r\n",
        "chunked-huge-size": b"fffffffffffffffff\r\nxx\r\n0\r\n\r\n",
        "chunked-extension": b"0;a=b\r\n\r\n",
    }
    return written + ends[how]
