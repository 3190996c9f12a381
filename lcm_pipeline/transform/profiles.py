"""From a profile update, and what is known of the profile, to the values to send or errors.

The server truncates and ignores values silently, so every value is checked first. A reason names
the field and never its value. Gender 0 means "leave it as it is" to the vendor, so it is never
sent, and an update that sets nothing else is rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from lcm_pipeline.model.payloads import SetClientUpdateRequest
from lcm_pipeline.model.profiles import (
    POS_CODE,
    PROFILE_FIELDS,
    FieldError,
    KnownProfile,
    ProfileField,
    ProfileUpdate,
    Value,
    Values,
)
from lcm_pipeline.transform.profile_texts import find_text_error

_OLDEST = date(1900, 1, 1)
_PHONES = range(9_000_000_000, 10_000_000_000)
_GENDERS = (-1, 0, 1)
_NAMES = ("name", "surname", "patronymic")
_CODES = (POS_CODE, "contragent_id")
_SPOILT_CODE = re.compile(r"\d+[.,]0|\d+[.,]\d+e\+?\d+|\d+e\+\d+", re.ASCII | re.IGNORECASE)
# Without the `mailto:` of a link and the apostrophe with which Excel marks a text.
_EMAIL = re.compile(r"(?!')[^\s@,;:<>\"]+@[^\s@,;:<>\".]+(\.[^\s@,;:<>\".]+)+")


@dataclass(frozen=True)
class ValidatedUpdate:
    """The result for an update: errors, or values to send; neither means nothing to do.

    before: the known values of the fields to send. unchanged: fields equal to those last sent.
    """

    errors: tuple[FieldError, ...] = ()
    values: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()


def validate_update(update: ProfileUpdate, known: KnownProfile, today: date) -> ValidatedUpdate:
    """Decide which values of an update to send; `today` is a day in the programme's time zone."""
    if errors := tuple(_find_errors(update, today)):
        return ValidatedUpdate(errors)
    wanted = _to_send(update.values)
    # Older versions sent texts without stripping them: compare with the stripped ones.
    last_sent = {column: _stripped(value) for column, value in known.last_sent.items()}
    unchanged = tuple(
        column
        for column, value in wanted.items()
        if column != POS_CODE and last_sent.get(column) == value
    )
    values = {column: value for column, value in wanted.items() if column not in unchanged}
    if values.keys() <= {POS_CODE}:
        return ValidatedUpdate(unchanged=unchanged)
    before = {column: known.before[column] for column in values if column in known.before}
    return ValidatedUpdate(values=values, before=before, unchanged=unchanged)


def to_request(client_id: int, values: Values) -> SetClientUpdateRequest:
    """Write values as the vendor's request."""
    fields = {
        field.vendor: values[field.column] for field in PROFILE_FIELDS if field.column in values
    }
    return SetClientUpdateRequest(Client=client_id, **fields)  # type: ignore[arg-type]


def _to_send(values: Values) -> dict[str, Value]:
    """The values as they are sent, without those that mean "leave it as it is"."""
    return {c: _stripped(v) for c, v in values.items() if not (c == "gender" and v == 0)}


def _stripped(value: Value) -> Value:
    """A text without leading and trailing white space; any other value as it is."""
    return value.strip() if isinstance(value, str) else value


def _find_errors(update: ProfileUpdate, today: date) -> Iterator[FieldError]:
    if not update.is_known_client:
        yield FieldError("the warehouse does not know the client")
    yield from update.unreadable
    if not update.unreadable and not _to_send(update.values).keys() - {POS_CODE}:
        yield FieldError("no field of the profile is set (gender 0 and pos_code alone set none)")
    for profile_field in PROFILE_FIELDS:
        if profile_field.column not in update.values:
            continue
        if reason := _find_error(profile_field, update.values[profile_field.column], today):
            yield FieldError(reason, profile_field.column)
        elif profile_field.column in update.overtaken - {POS_CODE}:
            yield FieldError("a newer update of this field was sent before", profile_field.column)


def _find_error(field: ProfileField, value: Value, today: date) -> str | None:
    match field.kind:
        case "phone":
            return None if value in _PHONES else "not 10 digits that start with 9"
        case "gender":
            return None if value in _GENDERS else "not -1, 0 or 1"
        case "date":
            return None if _is_plausible(str(value), today) else "not from 1900-01-01 to today"
        case "text":
            return _find_text_error_in(field, str(value).strip())
        case _:
            return None


def _find_text_error_in(field: ProfileField, value: str) -> str | None:
    if not value:
        return "an empty text would clear it, which the API cannot do"
    if reason := find_text_error(value):
        return reason
    # The server counts as .NET does, where a rare character is two.
    if (
        field.longest is not None
        and len(value.encode("utf-16-le", "surrogatepass")) > 2 * field.longest
    ):
        return f"longer than {field.longest} characters"
    if "?" in value and field.column in (*_NAMES, "email"):
        return "holds a question mark, as where a letter was lost in a conversion"
    if field.column == "email":
        if not _EMAIL.fullmatch(value):
            return "not shaped like an e-mail address"
        before_at = value.rpartition("@")[0]
        if re.search("[A-Za-z]", before_at) and re.search("[\u0400-\u04ff]", before_at):
            return "mixes two alphabets, as where a Cyrillic letter looks like a Latin one"
    if field.column in _NAMES and any(map(str.isdigit, value)) and not any(map(str.isalpha, value)):
        return "a number: does the column belong to another field?"
    if field.column in _CODES and _SPOILT_CODE.fullmatch(value):
        return "a number that a program wrote with a fraction or an exponent: export it as text"
    return None


def _is_plausible(text: str, today: date) -> bool:
    try:
        return _OLDEST <= date.fromisoformat(text) <= today
    except ValueError:
        return False
