"""Types of the write-back: profile fields, updates, known values, and results of attempts.

`pos_code` is sent like a profile field but is not one. It names the point of sale that requests the
change, so it is sent together with other fields, never alone.
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
    """One field: its column in the outbox, the vendor's name, its maximum length in characters."""

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
COLUMNS = tuple(field.column for field in PROFILE_FIELDS)
POS_CODE = "pos_code"
CLIENT_ID = "client_id"
REQUESTED_BY = "requested_by"


@dataclass(frozen=True)
class FieldError:
    """Why an update is not sent: the reason, and the field that it concerns, if any."""

    reason: str
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.reason}" if self.column else self.reason


@dataclass(frozen=True)
class ProfileUpdate:
    """One row of the outbox. values: the fields that it sets, a birthdate as text.

    is_known_client: the roster has the client. overtaken: fields that a newer update of the client
    has already set, which happens when this one was committed late. unreadable: cells of a file
    that could not be read; such an update is never sent.
    """

    update_id: int
    client_id: int
    values: Values
    is_known_client: bool = True
    overtaken: frozenset[str] = frozenset()
    unreadable: tuple[FieldError, ...] = ()


@dataclass(frozen=True)
class KnownProfile:
    """What is known of a client's profile, by field.

    last_sent: what was sent last and accepted in full. before: the same, updated with what the
    source has shown since. A field in neither is unknown, as after a partial update.
    """

    last_sent: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)


@dataclass(frozen=True)
class FileRow:
    """One row of a file, its cells in the order of the file's columns.

    line: the physical line where it starts, from 1. errors: cells that cannot be read; each of
    them is None in `cells`.
    """

    line: int
    cells: tuple[Any, ...] = field(repr=False)
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True)
class UpdateFile:
    """Updates from a file, cells parsed by column type. digest: SHA-256 of the file's bytes."""

    columns: tuple[str, ...]
    rows: Sequence[FileRow]
    digest: bytes

    @property
    def rejected_rows(self) -> list[FileRow]:
        """Rows with a cell that cannot be read; they are never sent."""
        return [row for row in self.rows if row.errors]

    def client_of(self, row: FileRow) -> int | None:
        """The client of a row; None when that cell cannot be read, and the row is not stored."""
        client_id: int | None = row.cells[self.columns.index(CLIENT_ID)]
        return client_id


@dataclass(frozen=True)
class AttemptResult:
    """The result of an attempt. error: the text to record, without personal data.

    is_credentials_error: every update would have been refused. is_ambiguous: the error may concern
    only this update or all of them; the responses to other updates decide.
    """

    outcome: AttemptOutcome
    error_code: int | None = None
    error_class: str | None = None
    error: str | None = None
    is_credentials_error: bool = False
    is_ambiguous: bool = False
