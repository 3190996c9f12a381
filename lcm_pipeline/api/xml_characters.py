"""Carries characters that XML 1.0 does not allow past a parser that would reject the document.

A .NET server writes a control character of a text as `&#x1F;`, and a lone surrogate as `&#xD83D;`.
Before parsing, each is replaced by a mark: a private-use character of plane 16. When the response
is JSON, each mark is replaced by what a JSON server writes: an escape for a reference, the raw
character for a raw one.
"""

import re
from itertools import count

# References and forbidden characters in one response; beyond that the document is rejected.
_MAX_FAULTS = 100_000

_SURROGATES = range(0xD800, 0xE000)
# Replaces references beyond the last code point.
_SUBSTITUTE = 0x1A

# Ranges of marks: raw control characters and bytes that are not UTF-8, by number; references to
# control characters; lone surrogates; U+FFFE and U+FFFF.
_MARKS = 0x100000
_BYTES = _MARKS + 0x100
_REFERENCES = _MARKS + 0x200
_HALF_PAIRS = _MARKS + 0x1000
_NO_CHARACTERS = _MARKS + 0x2000
_LAST_MARK = _MARKS + 0x2001

_MARK = re.compile(f"[{chr(_MARKS)}-{chr(_LAST_MARK)}]")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# References within CDATA or a comment are text. An unclosed section extends to the end: searching
# for its end again from each "<![CDATA[" would take quadratic time.
_FAULT = re.compile(
    r"(?P<literal><!\[CDATA\[(?s:.*?)(?:\]\]>|\Z)|<!--(?s:.*?)(?:-->|\Z))"
    rf"|&\#(?:x(?P<hex>[0-9A-Fa-f]++)|(?P<decimal>[0-9]++));|(?P<raw>{FORBIDDEN.pattern})"
)


class _UnmarkableError(ValueError):
    """The text contains a character that is used as a mark, or too many forbidden characters."""


def mark_forbidden(body: bytes) -> bytes | None:
    """Return the document with marks for forbidden characters.

    None when it has none, too many, or characters that are used as marks.
    """
    text = body.decode("utf-8", "surrogateescape")
    if _MARK.search(text):
        return None
    seen = count(1)

    def replace(found: re.Match[str]) -> str:
        if next(seen) > _MAX_FAULTS:
            raise _UnmarkableError
        return _replace(found)

    try:
        marked = _FAULT.sub(replace, text)
    except _UnmarkableError:
        return None
    return None if marked == text else marked.encode()


def unmark_forbidden(document: bytes) -> bytes:
    """Replace the marks in JSON by escapes and raw characters; the raw ones make it invalid."""
    text = _MARK.sub(_restore, document.decode())
    return text.encode("utf-8", "surrogateescape")


def _replace(found: re.Match[str]) -> str:
    if found["literal"]:
        return FORBIDDEN.sub(lambda raw: _mark_of_raw(raw[0]), found["literal"])
    if found["raw"]:
        return _mark_of_raw(found["raw"])
    digits = found["hex"] or found["decimal"]
    # Longer numbers are beyond the last code point, and int() of very long ones is slow.
    number = int(digits, 16 if found["hex"] else 10) if len(digits.lstrip("0")) <= 8 else 0x110000
    if _MARKS <= number <= _LAST_MARK:
        raise _UnmarkableError
    if number > 0x10FFFF:
        return chr(_MARKS + _SUBSTITUTE)
    if number in _SURROGATES:
        return chr(_HALF_PAIRS + number - _SURROGATES.start)
    character = chr(number)
    if FORBIDDEN.match(character) is None:
        return found[0]
    return chr(_REFERENCES + number) if number < 0x20 else _mark_of_raw(character)


def _mark_of_raw(character: str) -> str:
    number = ord(character)
    if number in _SURROGATES:  # from surrogateescape: a byte that is not UTF-8
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
    if number >= _REFERENCES:
        return f"\\u{number - _REFERENCES:04x}"
    if number >= _BYTES:
        return chr(0xDC00 + number - _BYTES)
    return chr(number - _MARKS)
