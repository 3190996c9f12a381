"""A profile as the write-back knows it: its fields, an update of it, what is known and what came.

The surprising fact: `pos_code` is sent like a field of the profile, but is none. It says which
point of sale asks for the change, so it travels with other fields, never alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FieldKind = Literal["text", "flag", "date", "phone", "gender"]
Value = str | int | bool
Values = Mapping[str, Value]
AttemptOutcome = Literal["sent", "partial", "failed", "unknown", "not sent"]


@dataclass(frozen=True)
class ProfileField:
    """One field: its column in the outbox, the vendor's name, and the most characters it keeps."""

    column: str
    vendor: str
    kind: FieldKind = "text"
    longest: int | None = None


PROFILE_FIELDS = (
    ProfileField("name", "Name", longest=20),
    ProfileField("surname", "Surname", longest=20),
    ProfileField("patronymic", "Patronymic", longest=20),
    ProfileField("allow_sms", "AllowSms", "flag"),
    ProfileField("allow_email", "AllowEmail", "flag"),
    ProfileField("birthdate", "Birthdate", "date"),
    ProfileField("phone", "Phone", "phone"),
    ProfileField("email", "Email", longest=50),
    ProfileField("gender", "Gender", "gender"),
    ProfileField("pos_code", "PosCode"),
    ProfileField("allow_email_online_cheque", "AllowEmailOnlineCheque", "flag"),
    ProfileField("contragent_id", "ContragentId"),
)
COLUMNS = tuple(one.column for one in PROFILE_FIELDS)
POS_CODE = "pos_code"


@dataclass(frozen=True)
class ProfileUpdate:
    """One row of the outbox. values: the fields that it sets, a birthdate as text.

    is_known_client: the roster has the client. overtaken: fields that a newer update of the client
    has set already, which happens when this one was committed late.
    """

    update_id: int
    client_id: int
    values: Values
    is_known_client: bool = True
    overtaken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class KnownProfile:
    """What is known of a client's profile, by field.

    last_sent: what we sent last and the API took whole. before: the same, and what the source
    showed since. A field that is in neither is not known, as after a partial update.
    """

    last_sent: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)


@dataclass(frozen=True)
class FileRow:
    """One row of a file, its cells in the order of the file's columns. line: 1 is the header's."""

    line: int
    cells: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True)
class UpdateFile:
    """Updates from a file, checked for their types. digest: SHA-256 of its bytes."""

    columns: tuple[str, ...]
    rows: Sequence[FileRow]
    digest: bytes


@dataclass(frozen=True)
class Answered:
    """What came of an attempt. error: what is told of it, without personal data.

    is_about_us: no update at all would have been let in.
    """

    outcome: AttemptOutcome
    error_code: int | None = None
    error_class: str | None = None
    error: str | None = None
    is_about_us: bool = False
