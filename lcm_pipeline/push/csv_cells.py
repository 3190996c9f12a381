"""Parses cells of a CSV file: the various forms that spreadsheets, databases and people write.

An ambiguous form is rejected. Whether a value may be sent is checked later.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from lcm_pipeline.model.profiles import CLIENT_ID, PROFILE_FIELDS, REQUESTED_BY, FieldKind
from lcm_pipeline.transform.profile_texts import (
    NO_VALUE,
    find_text_error,
    stands_for_no_value,
    strip_format_characters,
)

# Excel writes ="0071" to mark a cell as text; CSV doubles quotation marks within it.
_FORMULA_TEXT = re.compile(r'=\s*"(.*)"', re.DOTALL)
_TEXT_OF_DIGITS = re.compile(r"'(\d+)", re.ASCII)
_SCIENTIFIC = re.compile(r"[+-]?\d+([.,]\d*)?e[+-]?\d+", re.ASCII | re.IGNORECASE)
# Spaces, non-breaking ones too, may separate thousands.
_WHOLE = re.compile(
    r"(?P<sign>-?)(?P<digits>\d+|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+)(?P<fraction>[.,]0+)?",
    re.ASCII,
)
_MAX_DIGITS = 19
# A number with a fraction was a float once, so digits beyond these are lost.
_EXACT_DIGITS = 15
_ZERO_FRACTION = re.compile(r"[.,]0+$")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+", re.ASCII)
_PHONE_SEPARATORS = re.compile(r"[\s()\u2010-\u2015\u2212-]")
_PHONE_DIGITS = 10
_DAY = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"|(?P<day2>\d{1,2})\.(?P<month2>\d{1,2})\.(?P<year2>\d{4}))"
    r"(?P<time>(?:T|\s+)\d.*)?",
    re.IGNORECASE,
)
_MIDNIGHT = re.compile(
    r"(?:T|\s+)0?0:00(?::00(?:[.,]0+)?)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)?", re.IGNORECASE
)
_FLAGS = {
    **dict.fromkeys(("true", "t", "1", "yes", "y", "on", "истина", "да"), True),
    **dict.fromkeys(("false", "f", "0", "no", "n", "off", "ложь", "нет"), False),
}
_GENDERS = {
    **dict.fromkeys(("м", "муж", "мужской", "мужчина", "m", "male", "man"), 1),
    **dict.fromkeys(("ж", "жен", "женский", "женщина", "f", "female", "woman"), -1),
}


class UnreadableCellError(ValueError):
    """A cell cannot be parsed; the message says what was expected and never quotes the cell."""


def read_cell(column: str, cell: str) -> Any:
    """Parse a cell by the type of its column; an empty one is None. Raises UnreadableCellError."""
    text = cell.strip()
    if wrapped := _FORMULA_TEXT.fullmatch(text):
        text = wrapped[1].replace('""', '"').strip()
    elif digits := _TEXT_OF_DIGITS.fullmatch(text):
        text = digits[1]
    if column == REQUESTED_BY:
        if not text:
            raise UnreadableCellError("expected who requests the update; or leave the column out")
        if reason := find_text_error(text):
            raise UnreadableCellError(reason)
        return text
    if _KINDS.get(column) == "text":
        # Postgres stores any other text. Whether it can be sent is checked row by row.
        if "\0" in text:
            raise UnreadableCellError("expected a text without NUL characters")
        return text or None
    text = strip_format_characters(text).removeprefix("'").strip()
    if column == CLIENT_ID:
        number = _parse_whole_number(text, bits=64)
        if number is None:
            raise UnreadableCellError("expected the number of a client")
        return number
    if not text:
        return None
    if stands_for_no_value(text):
        raise UnreadableCellError(NO_VALUE)
    parse, expected = _PARSERS[_KINDS[column]]
    value = parse(text)
    if value is None:
        raise UnreadableCellError(expected)
    return value


def _parse_flag(text: str) -> bool | None:
    return _FLAGS.get(_ZERO_FRACTION.sub("", text.lower()))


def _parse_gender(text: str) -> int | None:
    word = text.lower().removesuffix(".")
    return _GENDERS[word] if word in _GENDERS else _parse_whole_number(text, bits=16)


def _parse_day(text: str) -> date | None:
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    if found["time"] and not _MIDNIGHT.fullmatch(found["time"]):
        raise UnreadableCellError("expected a day only, but the cell has a time of day")
    parts = (found[name] or found[f"{name}2"] for name in ("year", "month", "day"))
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


def _parse_phone(text: str) -> int | None:
    """Parse 10 digits, alone or after +7, 7 or 8; other numbers are rejected later, by a rule."""
    _refuse_scientific(text)
    whole = _ZERO_FRACTION.sub("", text)
    # The ".00" of 9001234567.00 is a fraction, that of 8.900.123.45.00 is part of the number.
    if sum(map(str.isdigit, whole)) >= _PHONE_DIGITS:
        text = whole
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    digits = _PHONE_SEPARATORS.sub("", text.lower().removeprefix("tel:"))
    # A single dot is a fraction; several dots separate groups of digits.
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    has_plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    if len(digits) == _PHONE_DIGITS + 1 and digits[0] in ("7" if has_plus else "78"):
        return int(digits[1:])
    return None if has_plus else int(digits)


def _parse_whole_number(text: str, *, bits: int) -> int | None:
    _refuse_scientific(text)
    found = _WHOLE.fullmatch(text.replace("\u2212", "-"))
    if found is None:
        return None
    digits = re.sub(r"\s", "", found["digits"])
    if len(digits) > _MAX_DIGITS or (found["fraction"] and len(digits) > _EXACT_DIGITS):
        return None
    number = int(found["sign"] + digits)
    return number if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1) else None


def _refuse_scientific(text: str) -> None:
    if _SCIENTIFIC.fullmatch(text):
        raise UnreadableCellError(
            "a number with an exponent: its digits are gone, so format the column as text and"
            " export it again"
        )


_KINDS = {field.column: field.kind for field in PROFILE_FIELDS}
# The parser of a cell that is not a text, and what it expects of one for which it returns None.
_PARSERS: dict[FieldKind, tuple[Callable[[str], Any], str]] = {
    "flag": (_parse_flag, "expected true or false (or 1, 0, yes, no, да, нет, ИСТИНА, ЛОЖЬ)"),
    "date": (_parse_day, "expected a day such as 1990-05-31 or 31.05.1990"),
    "phone": (_parse_phone, "expected a phone of 10 digits, alone or after +7, 7 or 8"),
    "gender": (_parse_gender, "expected 1 or М, -1 or Ж (or male, female), or 0"),
}
