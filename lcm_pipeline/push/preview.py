"""A push before it is made: per field, what would be sent, what not and why. Stores nothing.

Judged in order with what earlier updates would have made known, so the counts are those of a push
to which the API says yes. No value is kept but those that somebody asked to see.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from lcm_pipeline.model.profiles import (
    CLIENT_ID,
    POS_CODE,
    REQUESTED_BY,
    FileRow,
    KnownProfile,
    Objection,
    ProfileUpdate,
    UpdateFile,
    Values,
)
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.profiles import Verdict, judge
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.outbox.load import is_loaded
from lcm_pipeline.warehouse.outbox.waiting import known_clients, known_profiles, read_waiting

_CHUNK = 1_000
_MOST_LISTED = 30


@dataclass(frozen=True)
class Candidate:
    """An update that waits, or a row of a file.

    client_id: None where it cannot be read. line: of the file, None for an update of the outbox.
    sent_values: what went out already, when its outcome is not known.
    """

    update: ProfileUpdate
    client_id: int | None
    line: int | None = None
    sent_values: Values | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The update, or the line of the file."""
        return f"update {self.update.update_id}" if self.line is None else f"line {self.line}"


@dataclass(frozen=True)
class PlannedUpdate:
    """One update. name: of the update, or of the file's line; reasons: why it would be rejected.

    values: what would be sent, where somebody asked to see it.
    """

    name: str
    client_id: int | None
    columns: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    values: Values = field(default_factory=dict, repr=False)


@dataclass
class Rejects:
    """Those that would be rejected for one reason: updates by their ids, rows by their lines."""

    updates: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.updates) + len(self.lines)


@dataclass
class Preview:
    """What a push would do. to_send, unchanged, rejected: updates by what would become of them.

    sent_fields, unchanged_fields, rejected_fields: by column. listed: the first of each kind.
    reasons: everything that would be rejected, by reason. keeps_values: of those listed to send.
    """

    keeps_values: bool = False
    to_send: int = 0
    unchanged: int = 0
    rejected: int = 0
    sent_fields: Counter[str] = field(default_factory=Counter)
    unchanged_fields: Counter[str] = field(default_factory=Counter)
    rejected_fields: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Rejects] = field(default_factory=dict)
    listed_to_send: list[PlannedUpdate] = field(default_factory=list)
    listed_rejected: list[PlannedUpdate] = field(default_factory=list)

    def note(self, one: Candidate, verdict: Verdict) -> None:
        """Count one update."""
        self.unchanged_fields.update(verdict.unchanged)
        if verdict.objections:
            self._note_rejected(one, verdict.objections)
        elif verdict.values:
            self.to_send += 1
            self.sent_fields.update(verdict.values.keys())
            values = verdict.values if self.keeps_values else {}
            listed = PlannedUpdate(one.name, one.client_id, tuple(verdict.values), values=values)
            _list(self.listed_to_send, listed)
        else:
            self.unchanged += 1

    def _note_rejected(self, one: Candidate, objections: Sequence[Objection]) -> None:
        self.rejected += 1
        reasons = tuple(map(str, objections))
        self.rejected_fields.update({one.column for one in objections if one.column})
        for reason in reasons:
            rejects = self.reasons.setdefault(reason, Rejects())
            if one.line is None:
                rejects.updates.append(one.update.update_id)
            else:
                rejects.lines.append(one.line)
        _list(self.listed_rejected, PlannedUpdate(one.name, one.client_id, reasons=reasons))


def preview_push(
    settings: Settings,
    warehouse: Warehouse,
    *,
    most: int | None = None,
    file: UpdateFile | None = None,
    keeps_values: bool = False,
) -> Preview:
    """Judge what is pending, and the rows of a file after it, as a push would.

    Rows with a cell that cannot be read are all noted, whatever `most`: a push stores them too.
    """
    preview = Preview(keeps_values)
    foresight = _Simulator(datetime.now(settings.zone).date())
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        for chunk in _chunks(session, file):
            foresight.learn(session, [one.update.client_id for one in chunk])
            for one in chunk:
                if one.update.unreadable or preview.to_send != most:
                    preview.note(one, foresight.judge(one))
            if preview.to_send == most and not (file and file.rejected_rows):
                break
    return preview


class _Simulator:
    """What would be known of each client after the updates that were looked at."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._known: dict[int, KnownProfile] = {}

    def learn(self, session: Session, client_ids: list[int]) -> None:
        new = sorted({*client_ids} - self._known.keys())
        self._known |= {client_id: KnownProfile() for client_id in new}
        self._known |= known_profiles(session, new)

    def judge(self, one: Candidate) -> Verdict:
        known = self._known[one.update.client_id]
        # What went out already goes out again as it was.
        if one.sent_values:
            verdict = Verdict(values=one.sent_values)
        else:
            verdict = judge(one.update, known, self._today)
        taken = {c: v for c, v in verdict.values.items() if c != POS_CODE}
        self._known[one.update.client_id] = KnownProfile(
            {**known.last_sent, **taken}, {**known.before, **taken}
        )
        return verdict


def _chunks(session: Session, file: UpdateFile | None) -> Iterator[list[Candidate]]:
    after = 0
    while waiting := read_waiting(session, after=after, most=_CHUNK):
        after = waiting[-1][0].update_id
        yield [Candidate(update, update.client_id, sent_values=sent) for update, sent in waiting]
    if file is None or is_loaded(session, file):
        return
    for at in range(0, len(file.rows), _CHUNK):
        yield _candidates(session, file, file.rows[at : at + _CHUNK])


def _candidates(session: Session, file: UpdateFile, rows: Sequence[FileRow]) -> list[Candidate]:
    ids = [client_id for row in rows if (client_id := file.client_of(row)) is not None]
    known = known_clients(session, ids)
    candidates = []
    for row in rows:
        client_id = file.client_of(row)
        values = {
            column: str(value) if isinstance(value, date) else value
            for column, value in zip(file.columns, row.cells, strict=True)
            if value is not None and column not in (CLIENT_ID, REQUESTED_BY)
        }
        is_known = client_id is None or client_id in known
        update = ProfileUpdate(0, client_id or 0, values, is_known, unreadable=row.objections)
        candidates.append(Candidate(update, client_id, row.line))
    return candidates


def _list(listed: list[PlannedUpdate], one: PlannedUpdate) -> None:
    if len(listed) < _MOST_LISTED:
        listed.append(one)
