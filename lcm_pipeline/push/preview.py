"""Previews a push: per field, what would be sent, what would not, and why. Stores nothing.

Updates are checked in order, with the values that earlier ones would have set, so the counts are
those of a push that the API accepts. Values are retained only when requested.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from lcm_pipeline.model.profiles import (
    CLIENT_ID,
    POS_CODE,
    REQUESTED_BY,
    KnownProfile,
    ProfileUpdate,
    UpdateFile,
    Values,
)
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.profiles import ValidatedUpdate, validate_update
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.outbox.load import is_loaded
from lcm_pipeline.warehouse.outbox.waiting import clients_in_roster, known_profiles, read_waiting

_CHUNK = 1_000
_MAX_LISTED = 30


@dataclass(frozen=True)
class Candidate:
    """A pending update, or a row of a file.

    line: of the file, None for an update of the outbox. sent_values: what has already been sent,
    with an unknown outcome.
    """

    update: ProfileUpdate
    line: int | None = None
    sent_values: Values | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The update, or the line of the file."""
        return f"update {self.update.update_id}" if self.line is None else f"line {self.line}"


@dataclass(frozen=True)
class PlannedUpdate:
    """One update that would be sent.

    name: the update, or the line of the file. values: what would be sent, when requested.
    """

    name: str
    client_id: int
    columns: tuple[str, ...] = ()
    values: Values = field(default_factory=dict, repr=False)


@dataclass
class Rejects:
    """What would be rejected for one reason: ids of updates, and lines of the file."""

    updates: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of updates and lines."""
        return len(self.updates) + len(self.lines)


@dataclass
class Preview:
    """What a push would do.

    to_send, unchanged, rejected: numbers of updates. sent_fields, unchanged_fields,
    rejected_fields: numbers by column. listed_to_send: the first updates that would be sent.
    reasons: everything that would be rejected, by reason. lists_values: whether listed_to_send has
    values.
    """

    lists_values: bool = False
    to_send: int = 0
    unchanged: int = 0
    rejected: int = 0
    sent_fields: Counter[str] = field(default_factory=Counter)
    unchanged_fields: Counter[str] = field(default_factory=Counter)
    rejected_fields: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Rejects] = field(default_factory=dict)
    listed_to_send: list[PlannedUpdate] = field(default_factory=list)

    def record(self, candidate: Candidate, validated: ValidatedUpdate) -> None:
        """Record what is sent of a candidate, or why it is rejected."""
        self.unchanged_fields.update(validated.unchanged)
        if validated.errors:
            self.rejected += 1
            # A set: several errors to a field count once.
            self.rejected_fields.update(
                {error.column for error in validated.errors if error.column}
            )
            for reason in map(str, validated.errors):
                rejects = self.reasons.setdefault(reason, Rejects())
                if candidate.line is None:
                    rejects.updates.append(candidate.update.update_id)
                else:
                    rejects.lines.append(candidate.line)
        elif validated.values:
            self.to_send += 1
            self.sent_fields.update(validated.values.keys())
            if len(self.listed_to_send) < _MAX_LISTED:
                values = validated.values if self.lists_values else {}
                self.listed_to_send.append(
                    PlannedUpdate(
                        candidate.name,
                        candidate.update.client_id,
                        tuple(validated.values),
                        values=values,
                    )
                )
        else:
            self.unchanged += 1


def preview_push(
    settings: Settings,
    warehouse: Warehouse,
    *,
    most: int | None = None,
    file: UpdateFile | None = None,
    lists_values: bool = False,
) -> Preview:
    """Check the pending updates, and the rows of a file after them, as a push would.

    most: stop after this many updates to send. Rows with a cell that cannot be read are all
    recorded nevertheless: a push stores them too.
    """
    preview = Preview(lists_values)
    expected = _ExpectedProfiles(datetime.now(settings.zone).date())
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        for chunk in _chunks(session, file):
            expected.learn(session, [candidate.update.client_id for candidate in chunk])
            for candidate in chunk:
                if candidate.update.unreadable or preview.to_send != most:
                    preview.record(candidate, expected.validate(candidate))
            if preview.to_send == most and not (file and file.rejected_rows):
                break
    return preview


class _ExpectedProfiles:
    """The known values of each client as they would be after the updates checked so far."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._known: dict[int, KnownProfile] = {}

    def learn(self, session: Session, client_ids: list[int]) -> None:
        new = sorted({*client_ids} - self._known.keys())
        self._known |= {client_id: KnownProfile() for client_id in new}
        self._known |= known_profiles(session, new)

    def validate(self, candidate: Candidate) -> ValidatedUpdate:
        client_id = candidate.update.client_id
        known = self._known[client_id]
        # An update with an unknown outcome is sent again with the same values.
        if candidate.sent_values:
            validated = ValidatedUpdate(values=candidate.sent_values)
        else:
            validated = validate_update(candidate.update, known, self._today)
        taken = {c: v for c, v in validated.values.items() if c != POS_CODE}
        self._known[client_id] = KnownProfile(
            {**known.last_sent, **taken}, {**known.before, **taken}
        )
        return validated


def _chunks(session: Session, file: UpdateFile | None) -> Iterator[list[Candidate]]:
    after = 0
    while waiting := read_waiting(session, after=after, most=_CHUNK):
        after = waiting[-1][0].update_id
        yield [Candidate(update, sent_values=sent) for update, sent in waiting]
    if file is None or is_loaded(session, file):
        return
    for at in range(0, len(file.rows), _CHUNK):
        rows = [(row, file.client_of(row)) for row in file.rows[at : at + _CHUNK]]
        known = clients_in_roster(session, [id_ for _, id_ in rows if id_ is not None])
        candidates = []
        for row, client_id in rows:
            values = {
                column: str(value) if isinstance(value, date) else value
                for column, value in zip(file.columns, row.cells, strict=True)
                if value is not None and column not in (CLIENT_ID, REQUESTED_BY)
            }
            is_known = client_id is None or client_id in known
            # A row whose client cannot be read is rejected for that cell, whatever its number here.
            update = ProfileUpdate(0, client_id or 0, values, is_known, unreadable=row.errors)
            candidates.append(Candidate(update, row.line))
        yield candidates
