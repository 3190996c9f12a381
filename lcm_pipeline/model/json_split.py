"""JSON split into its members and items without being decoded.

A decoder refuses a whole document for one bad character. Here only quotes, brackets, commas and
colons count, so a value that cannot be read costs itself alone. What is cut off, does not balance
or has a value too few is no document: nothing is guessed and nothing is closed.
"""

import re

import msgspec

# All quantifiers are possessive: the time is linear in the bytes, whatever they hold.
_STRING = rb'"(?:[^"\\]++|\\(?s:.))*+"'
_FLAT_ITEM = rb'(?:[^{}\[\]"]++|' + _STRING + rb")*+"
_FLAT = rb"\{" + _FLAT_ITEM + rb"\}|\[" + _FLAT_ITEM + rb"\]"

_NAME = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+")
_SIMPLE_VALUE = re.compile(_STRING + rb"|" + _FLAT + rb'|[^ \t\r\n{}\[\],:"]++')
_TO_NEXT_BRACKET = re.compile(rb'(?:[^{}\[\]"]++|' + _STRING + rb"|" + _FLAT + rb")*+")
_SEPARATOR = re.compile(rb"[ \t\r\n]*+([,}\]])")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


class SplitError(ValueError):
    """The bytes are cut off, or not balanced, or no object or array at all."""


def split_object(text: bytes) -> dict[str, bytes]:
    """Return the values of an object by name, as they came; the last of a name counts.

    Raises SplitError.
    """
    members: dict[str, bytes] = {}
    at = _opened(text, b"{")
    if (end := _closed_at_once(text, at, b"}")) is None:
        while True:
            name = _NAME.match(text, at)
            if name is None:
                raise SplitError("a name was expected")
            end = _end_of_value(text, name.end())
            members[_read_name(name[1])] = text[name.end() : end]
            at, is_last = _separated(text, end, b"}")
            if is_last:
                end = at
                break
    _check_end(text, end)
    return members


def split_array(text: bytes) -> list[bytes]:
    """Return the items of an array as they came; raises SplitError."""
    items: list[bytes] = []
    at = _opened(text, b"[")
    if (end := _closed_at_once(text, at, b"]")) is None:
        while True:
            begin = _skip_space(text, at)
            end = _end_of_value(text, begin)
            items.append(text[begin:end])
            at, is_last = _separated(text, end, b"]")
            if is_last:
                end = at
                break
    _check_end(text, end)
    return items


def _opened(text: bytes, bracket: bytes) -> int:
    at = _skip_space(text, 0)
    if text[at : at + 1] != bracket:
        raise SplitError("another bracket was expected")
    return at + 1


def _closed_at_once(text: bytes, at: int, bracket: bytes) -> int | None:
    at = _skip_space(text, at)
    return at + 1 if text[at : at + 1] == bracket else None


def _separated(text: bytes, at: int, bracket: bytes) -> tuple[int, bool]:
    """Where the next value begins, or where the closing bracket ends, and which it is."""
    separator = _SEPARATOR.match(text, at)
    if separator is None or separator[1] not in (b",", bracket):
        raise SplitError("a comma or the closing bracket was expected")
    return separator.end(), separator[1] == bracket


def _end_of_value(text: bytes, at: int) -> int:
    simple = _SIMPLE_VALUE.match(text, at)
    if simple is not None:
        return simple.end()
    expected: list[int] = []
    while at < len(text):
        bracket = text[at]
        if bracket in _CLOSING:
            expected.append(_CLOSING[bracket])
        elif not expected or bracket != expected.pop():
            raise SplitError("the brackets do not match")
        at += 1
        if not expected:
            return at
        inner = _TO_NEXT_BRACKET.match(text, at)
        at = inner.end() if inner else at
    raise SplitError("the text is cut off")


def _read_name(name: bytes) -> str:
    try:
        return msgspec.json.decode(name, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return name[1:-1].decode("utf-8", "backslashreplace")


def _skip_space(text: bytes, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _check_end(text: bytes, at: int) -> None:
    if _skip_space(text, at) != len(text):
        raise SplitError("something follows the end")
