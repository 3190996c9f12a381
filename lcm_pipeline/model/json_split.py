"""Splits JSON into its members and items without decoding them.

A decoder rejects a whole document for one bad character. Here only quotes, brackets, commas and
colons count, so a value that cannot be decoded costs only itself. Text that is cut off, unbalanced
or lacks a value is rejected: nothing is guessed or repaired.
"""

import re

import msgspec

# All quantifiers are possessive, so the time is linear in the size whatever a server sends.
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
    """The bytes are cut off or unbalanced, or are not an object or array."""


def split_object(text: bytes) -> dict[str, bytes]:
    """Return the undecoded values of an object by name; the last one wins when a name repeats.

    Raises SplitError.
    """
    members: dict[str, bytes] = {}
    at = _after_opening(text, b"{")
    if (end := _end_if_empty(text, at, b"}")) is None:
        while True:
            name = _NAME.match(text, at)
            if name is None:
                raise SplitError("a name was expected")
            end = _end_of_value(text, name.end())
            members[_decode_name(name[1])] = text[name.end() : end]
            at, is_last = _after_separator(text, end, b"}")
            if is_last:
                end = at
                break
    _check_end(text, end)
    return members


def split_array(text: bytes) -> list[bytes]:
    """Return the undecoded items of an array; raises SplitError."""
    items: list[bytes] = []
    at = _after_opening(text, b"[")
    if (end := _end_if_empty(text, at, b"]")) is None:
        while True:
            begin = _skip_space(text, at)
            end = _end_of_value(text, begin)
            items.append(text[begin:end])
            at, is_last = _after_separator(text, end, b"]")
            if is_last:
                end = at
                break
    _check_end(text, end)
    return items


def _after_opening(text: bytes, bracket: bytes) -> int:
    at = _skip_space(text, 0)
    if text[at : at + 1] != bracket:
        raise SplitError("another bracket was expected")
    return at + 1


def _end_if_empty(text: bytes, at: int, bracket: bytes) -> int | None:
    at = _skip_space(text, at)
    return at + 1 if text[at : at + 1] == bracket else None


def _after_separator(text: bytes, at: int, bracket: bytes) -> tuple[int, bool]:
    """Return the offset behind the separator, and whether it was the closing bracket."""
    separator = _SEPARATOR.match(text, at)
    if separator is None or separator[1] not in (b",", bracket):
        raise SplitError("a comma or the closing bracket was expected")
    return separator.end(), separator[1] == bracket


def _end_of_value(text: bytes, at: int) -> int:
    """Return the offset behind the value at `at`, without recursion: nesting may be hostile."""
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


def _decode_name(name: bytes) -> str:
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
