"""Characters that XML 1.0 does not allow, carried past a parser that refuses the whole document.

A .NET server writes a control character of a text as `&#x1F;`, and half a surrogate pair as
`&#xD83D;`. Each is replaced by a mark, a private character of plane 16, before the parsing, and by
what it stands for once the response is JSON: the raw character, or the escape of the half pair.
"""

import re
from itertools import count

# References and forbidden characters that are looked at in one response.
_MOST_FAULTS = 100_000

_SURROGATES = range(0xD800, 0xE000)
# What stands for a code point that does not exist at all.
_SUBSTITUTE = 0x1A

# Marks: first the control characters and bytes that are no UTF-8, by number, then the others.
_MARKS = 0x100000
_BYTES = _MARKS + 0x100
_HALF_PAIRS = _MARKS + 0x1000
_NO_CHARACTERS = _MARKS + 0x2000
_LAST_MARK = _MARKS + 0x2001

_MARK = re.compile(f"[{chr(_MARKS)}-{chr(_LAST_MARK)}]")
_FORBIDDEN = "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
# A reference within CDATA or a comment is text. One that is not closed goes to the end: looking
# for the closing sign anew from each opening one would take quadratic time.
_FAULT = re.compile(
    r"(?P<literal><!\[CDATA\[(?s:.*?)(?:\]\]>|\Z)|<!--(?s:.*?)(?:-->|\Z))"
    rf"|&\#(?:x(?P<hex>[0-9A-Fa-f]++)|(?P<decimal>[0-9]++));|(?P<raw>{_FORBIDDEN})"
)
_RAW_FAULT = re.compile(_FORBIDDEN)


class _UnmarkableError(ValueError):
    """The text holds a character that is used as a mark, or more faults than a few bad texts."""


def mark_forbidden(body: bytes) -> bytes | None:
    """Return the document with marks for its forbidden characters; None when there are none."""
    text = body.decode("utf-8", "surrogateescape")
    if _MARK.search(text):
        return None
    seen = count(1)

    def replace(found: re.Match[str]) -> str:
        if next(seen) > _MOST_FAULTS:
            raise _UnmarkableError
        return _replace(found)

    try:
        marked = _FAULT.sub(replace, text)
    except _UnmarkableError:
        return None
    return None if marked == text else marked.encode()


def unmark_forbidden(document: bytes) -> bytes:
    """Return JSON with what the marks stand for; it is no valid JSON where there was one."""
    text = _MARK.sub(_restore, document.decode())
    return text.encode("utf-8", "surrogateescape")


def _replace(found: re.Match[str]) -> str:
    if found["literal"]:
        return _RAW_FAULT.sub(lambda raw: _mark_of_raw(raw[0]), found["literal"])
    if found["raw"]:
        return _mark_of_raw(found["raw"])
    digits = found["hex"] or found["decimal"]
    # Longer ones are beyond the last code point, and costly to read.
    number = int(digits, 16 if found["hex"] else 10) if len(digits.lstrip("0")) <= 8 else 0x110000
    if _MARKS <= number <= _LAST_MARK:
        raise _UnmarkableError
    if number > 0x10FFFF:
        return chr(_MARKS + _SUBSTITUTE)
    if number in _SURROGATES:
        return chr(_HALF_PAIRS + number - _SURROGATES.start)
    character = chr(number)
    return _mark_of_raw(character) if _RAW_FAULT.match(character) else found[0]


def _mark_of_raw(character: str) -> str:
    number = ord(character)
    if number in _SURROGATES:  # the escape of a byte that is no UTF-8
        return chr(_BYTES + number - 0xDC00)
    if number >= 0xFFFE:
        return chr(_NO_CHARACTERS + number - 0xFFFE)
    return chr(_MARKS + number)


def _restore(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number >= _NO_CHARACTERS:
        return chr(0xFFFE + number - _NO_CHARACTERS)
    if number >= _HALF_PAIRS:
        return f"\\u{_SURROGATES.start + number - _HALF_PAIRS:04x}"
    if number >= _BYTES:
        return chr(0xDC00 + number - _BYTES)
    return chr(number - _MARKS)
