"""Reads the bytes of one row into its payload and its `extra`; independent of tables.

Text that Postgres cannot store, NUL and lone surrogates, is rejected before decoding. A row is
decoded once, by a type that forbids unknown fields; only a row that this type rejects is decoded
again.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import NamedTuple, NoReturn, TypeVar, cast

import msgspec

from lcm_pipeline.model.json_split import SplitError, split_object
from lcm_pipeline.model.payloads import READ_ERRORS, decode_row, unknown_fields
from lcm_pipeline.transform.values import InvalidValueError

RowT = TypeVar("RowT", bound=msgspec.Struct)

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# Matches escape by escape from the left: in `\\u0000`, `\\` is consumed as an escape of its own.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(?P<nul>u0000)|(?P<lone>u[dD][89a-fA-F])|.)", re.DOTALL
)
_FAULTS = {"nul": "holds a NUL character", "lone": "holds half a surrogate pair"}

# Limits of numeric, and so of a number in jsonb.
_DIGITS_BEFORE_POINT = 131_072
_DIGITS_AFTER_POINT = 16_383
_SHORT_NUMBER = 100

_CONTROL = re.compile(rb"[\x00-\x1f]")


class Extra(NamedTuple):
    """The fields that a payload does not know: as a JSON object, and their names."""

    text: str
    names: frozenset[str]


def read_row(raw: bytes, row_type: type[RowT]) -> tuple[RowT, Extra | None]:
    """Read a whole row; raises InvalidValueError with the field and its fault."""
    if b"\\u" in raw and (fault := _text_fault(raw)):
        field = _first_field(raw, lambda _, value: _text_fault(value) is not None)
        raise InvalidValueError(f"{field or 'the row'}: {fault}")
    try:
        return decode_row(raw, _exact_type(row_type)), None
    except READ_ERRORS:
        pass
    try:
        row = decode_row(raw, row_type)
        unknown = unknown_fields(raw, row_type)
    except READ_ERRORS as error:
        _refuse(raw, row_type, error)
    return row, _read_extra(unknown) if unknown else None


@cache
def _exact_type(row_type: type[RowT]) -> type[RowT]:
    name = f"Exact{row_type.__name__}"
    exact = msgspec.defstruct(name, [], bases=(row_type,), forbid_unknown_fields=True)
    return cast(type[RowT], exact)


def _text_fault(raw: bytes) -> str | None:
    if _SUSPECT.search(raw) is None:
        return None
    for escape in _ESCAPE.finditer(raw):
        if escape.lastgroup:
            return _FAULTS[escape.lastgroup]
    return None


def _refuse(raw: bytes, row_type: type[msgspec.Struct], error: Exception) -> NoReturn:
    """Raise the fault of a row, with its field: if the decoder does not name it, find it."""
    if isinstance(error, msgspec.ValidationError):
        raise InvalidValueError(str(error)) from error
    if isinstance(error, RecursionError):
        raise InvalidValueError("the row: nested too deeply") from error
    # JSON allows control characters only as escapes.
    if field := _first_field(
        raw, lambda _, value: value.startswith(b'"') and _CONTROL.search(value) is not None
    ):
        raise InvalidValueError(f"{field}: holds a control character") from error

    def is_unreadable(name: str, value: bytes) -> bool:
        try:
            value.decode()
            decode_row(b"{%s:%s}" % (msgspec.json.encode(name), value), row_type)
        except READ_ERRORS:
            return True
        return False

    field = _first_field(raw, is_unreadable) or "the row"
    fault = "a number out of range" if isinstance(error, ArithmeticError) else "malformed JSON"
    raise InvalidValueError(f"{field}: {fault}") from error


def _first_field(raw: bytes, is_bad: Callable[[str, bytes], bool]) -> str | None:
    """Name the first field with a bad value; a name that is not an identifier is not quoted."""
    try:
        fields = split_object(raw)
    except SplitError:
        return None
    for name, value in fields.items():
        if is_bad(name, value):
            return name if name.isidentifier() and len(name) <= 80 else "a field of an odd name"
    return None


def _read_extra(unknown: dict[str, msgspec.Raw]) -> Extra:
    """Return the unknown fields as they are, after checking that jsonb can store them."""
    try:
        members = [
            f"{json.dumps(name, ensure_ascii=False)}:{bytes(unknown[name]).decode()}"
            for name in sorted(unknown)
        ]
        text = "{" + ",".join(members) + "}"
        _JSON_DECODER.decode(text)
    except InvalidValueError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidValueError("an unknown field: jsonb cannot store it") from error
    return Extra(text, frozenset(unknown))


def _check_number(text: str) -> None:
    if len(text) < _SHORT_NUMBER and "e" not in text and "E" not in text:
        return
    try:
        number = Decimal(text)
    except ArithmeticError as error:
        raise InvalidValueError("an unknown field: a number out of range") from error
    exponent = cast(int, number.as_tuple().exponent)
    if number.adjusted() >= _DIGITS_BEFORE_POINT or exponent < -_DIGITS_AFTER_POINT:
        raise InvalidValueError("an unknown field: a number out of range")


_JSON_DECODER = json.JSONDecoder(parse_int=_check_number, parse_float=_check_number)
