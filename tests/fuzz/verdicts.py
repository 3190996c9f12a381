"""Whether a response is valid, judged by a reader that shares no code with the pipeline.

"never": nothing may be published from it. "right": nothing is wrong with it, so that its rows count
even if they are fewer than before. "unsure": a careful reader may accept or refuse it.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lxml import etree

from tests.fuzz.mutations import ROWS, TOTALS, Response

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_KEYS = {
    "Operations": ("ComponentType", "Id"),
    "LeadsClients": ("Leads",),
    "ClientFavorites": ("Id",),
    "ListFavorites": ("ListDataId",),
    "Clients": ("Client", "Card"),
}
_LONGEST = 4_000_000
_FRACTION_OR_EXPONENT = re.compile(
    r"-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d{1,3})?|[eE][+-]?\d{1,3})"
)
_MAX_DIGITS = 30


class _Doubled(dict[str, Any]):
    """An object in which a member occurred twice."""


@dataclass
class Verdict:
    """The verdict on a response, and its content.

    keys: of its rows, as texts. exact: those keys whose rows are equal to the rows of the right
    response. is_whole: it contains as many rows as its total. text: all of it, to search for a
    number.
    """

    kind: str
    why: str = ""
    keys: Counter[tuple[str, ...]] = field(default_factory=Counter)
    exact: set[tuple[str, ...]] = field(default_factory=set)
    is_whole: bool = False
    is_read: bool = False
    text: str = ""


def judge(
    endpoint: str, response: Response, true: dict[str, Any], client: int, *, goods: bool
) -> Verdict:
    """Judge a response to a call about a client; true: the right response."""
    if response.line is None and not 200 <= response.status < 300:
        return Verdict("never", f"HTTP {response.status}")
    if (response.is_cut_off or "cut coding" in response.oddities) and response.line is None:
        return Verdict("never", "cut off")
    verdict = _judge_entity(endpoint, response.entity, true, client, goods=goods)
    verdict.text = response.entity[:_LONGEST].replace(b"\0", b"").decode("utf-8", "replace")
    is_odd = response.oddities or response.status != 200
    may_be_another = {"line", "early"} & response.oddities
    if may_be_another or (is_odd and verdict.kind == "right"):
        verdict.kind = "unsure"
    return verdict


def _judge_entity(
    endpoint: str, entity: bytes, true: dict[str, Any], client: int, *, goods: bool
) -> Verdict:
    if len(entity) > _LONGEST:
        return Verdict("unsure", "large")
    try:
        content, doubts = _read(endpoint, entity)
    except RecursionError:
        return Verdict("unsure", "deep nesting")
    except (ValueError, etree.XMLSyntaxError) as error:
        if _may_be_read_otherwise(entity):
            return Verdict("unsure", "not UTF-8, or not quite XML")
        return Verdict("never", f"unreadable: {str(error)[:60]}")
    return _judge_content(endpoint, content, true, client, goods=goods, doubts=doubts)


def _judge_content(
    endpoint: str,
    content: Any,
    true: dict[str, Any],
    client: int,
    *,
    goods: bool,
    doubts: list[str],
) -> Verdict:
    if not isinstance(content, dict):
        return Verdict("never", "not an object")
    if isinstance(content, _Doubled):
        doubts.append("a member occurs twice")
    code = _number(content.get("ErrorCode"))
    if code != 0:
        return Verdict("unsure" if doubts else "never", "ErrorCode")
    if content["ErrorCode"] != 0 or isinstance(content["ErrorCode"], bool | float):
        doubts.append("ErrorCode is not a plain 0")
    if content.get("Message"):
        doubts.append("a Message")
    if endpoint not in ROWS:
        return Verdict("unsure", doubts[0]) if doubts else Verdict("right")
    listed = "ListFavorites" if goods else ROWS[endpoint]
    rows = content.get(listed)
    total = _number(content.get(TOTALS.get(endpoint, "")))
    verdict = Verdict("unsure")
    if isinstance(rows, list):
        _record_rows(verdict, listed, rows, true.get(listed) or [])
        verdict.is_whole, verdict.is_read = total == len(rows), True
    named = _number(content.get("Client"))
    if named is not None and float(str(content["Client"])) != named:
        named = None  # 1.50 is not a client
    # The service writes 0 for a number that it does not know.
    is_number = named is not None and 0 < named < 2**63
    names_another = endpoint == "OperationHistory" and is_number and named != client
    if names_another and not doubts:
        return Verdict("never", f"it is about client {named}")
    if not isinstance(rows, list):
        # Empty lists without a total may be null; so may those of registration days.
        may_be_null = goods or endpoint == "ClientInfoPeriod"
        is_nothing = not content.get(listed) and listed in content and may_be_null
        doubted = doubts or is_nothing or (total == 0 and listed in content) or rows == ""
        return Verdict("unsure" if doubted else "never", "no rows member")
    if endpoint in TOTALS and not goods:
        # A service that does not report totals sends null.
        if TOTALS[endpoint] not in content and not rows and not doubts:
            return Verdict("never", "no rows and no total")
        if total is not None and total < len(verdict.keys) and not doubts:
            return Verdict("never", f"{len(verdict.keys)} rows of {total}")
        if total != len(rows):
            doubts.append("the total")
    if max(verdict.keys.values(), default=0) > 1 or any(not isinstance(r, dict) for r in rows):
        doubts.append("odd rows")
    if named != client and endpoint == "OperationHistory":
        doubts.append("no client named")
    verdict.kind, verdict.why = ("unsure", doubts[0]) if doubts else ("right", "")
    return verdict


def _record_rows(verdict: Verdict, listed: str, rows: list[Any], true: list[Any]) -> None:
    names = _KEYS[listed]
    right = {_key(row, names): {n: _text(v) for n, v in row.items()} for row in true}
    for row in rows:
        if not isinstance(row, dict):
            continue
        key = _key(row, names)
        verdict.keys[key] += 1
        if right.get(key) == {n: _text(v) for n, v in row.items()} and not isinstance(
            row, _Doubled
        ):
            verdict.exact.add(key)
    verdict.exact = {key for key in verdict.exact if verdict.keys[key] == 1}


def _key(row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_whole(_text(row.get(name))) for name in names)


def _whole(text: str) -> str:
    """Convert any of JSON's notations of a whole number, such as 1e3 or 1000.0, to its digits."""
    if _FRACTION_OR_EXPONENT.fullmatch(text) is None:
        return text
    number = Decimal(text)
    is_whole = number.adjusted() < _MAX_DIGITS and number == number.to_integral_value()
    return str(int(number)) if is_whole else text


def _text(value: Any) -> str:
    """Convert a value to a text that is equal for equal values of JSON and XML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Unlike "null", this cannot be a text of XML.
    return "\0null" if value is None else str(value)


def _number(value: Any) -> int | None:
    try:
        return None if value is None else int(float(str(value).strip()))
    except (ValueError, OverflowError):
        return None


def _read(endpoint: str, entity: bytes) -> tuple[Any, list[str]]:
    """Return the content of an entity, and the oddities of its notation."""
    doubts: list[str] = []
    body = entity.removeprefix(b"\xef\xbb\xbf")
    if body.lstrip()[:1] == b"<":
        return _read_xml(endpoint, body, doubts), doubts
    text = body.decode("utf-8")
    content = json.loads(text, strict=False, parse_float=str, object_pairs_hook=_object)
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        doubts.append("not strict JSON")
    if "\\ud8" in text.lower() or "\\udc" in text.lower():
        doubts.append("a surrogate")
    return content, doubts


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    return content if len(content) == len(pairs) else _Doubled(content)


def _read_xml(endpoint: str, body: bytes, doubts: list[str]) -> Any:
    root = etree.fromstring(body.lstrip(), etree.XMLParser(resolve_entities=False))
    if root.getroottree().docinfo.internalDTD is not None or b"<!DOCTYPE" in body[:200]:
        doubts.append("a document type")
    if any(not isinstance(element.tag, str) for element in root.iter()):
        doubts.append("comments")
    lists = {ROWS.get(endpoint, ""), "ListFavorites", "GroupFavorites"}
    return _object(
        [
            (_local(element), _items(element) if _local(element) in lists else _value(element))
            for element in root
            if isinstance(element.tag, str)
        ]
    )


def _items(element: Any) -> Any:
    if element.get(_NIL) == "true":
        return None
    if (element.text or "").strip() and not len(element):
        return "text"
    return [_value(item) for item in element if isinstance(item.tag, str)]


def _value(element: Any) -> Any:
    if len(element):
        return _object([(_local(c), _value(c)) for c in element if isinstance(c.tag, str)])
    if element.get(_NIL) == "true":
        return None
    text = element.text or ""
    return int(text) if text == "0" else text


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _may_be_read_otherwise(entity: bytes) -> bool:
    """Whether a reader with another charset, or a more tolerant one, might read it."""
    entity = entity.removeprefix(b"\xef\xbb\xbf")
    if entity.lstrip()[:1] == b"<":
        is_odd = any(byte < 32 and byte not in b"\t\n\r" for byte in entity)
        # U+FFFE and U+FFFF, which XML does not allow either.
        is_odd = is_odd or b"\xef\xbf\xbe" in entity or b"\xef\xbf\xbf" in entity
        # A document that declares another charset but is UTF-8 is read as UTF-8.
        is_named = b"encoding=" in entity[:100]
        return is_odd or is_named or b"&#" in entity or not _is_utf8(entity)
    return not _is_utf8(entity) or any(byte in entity for byte in b"\0") or _is_object(entity)


def _is_utf8(entity: bytes) -> bool:
    try:
        entity.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_object(entity: bytes) -> bool:
    """Whether brackets and quotes form an object: a reader may skip an odd value inside."""
    text = entity.decode("utf-8").strip("\ufeff \t\r\n")
    expected: list[str] = []
    in_text = is_escaped = False
    for at, char in enumerate(text):
        if in_text:
            in_text = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            in_text = True
        elif char in "{[":
            expected.append("}" if char == "{" else "]")
        elif char in "}]":
            if not expected or expected.pop() != char:
                return False
            if not expected:
                return text[0] == "{" and at == len(text) - 1
    return False
