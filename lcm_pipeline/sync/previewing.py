"""A push before it is made: per field, what would be sent, what not and why. Stores nothing.

Judged in order with what earlier updates would have made known, so the counts are those of a push
to which the API says yes. No value is shown: ids, counts and names of fields.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from lcm_pipeline.model.profiles import (
    POS_CODE,
    FileRow,
    KnownProfile,
    ProfileUpdate,
    UpdateFile,
    Values,
)
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.profile_updates import Verdict, judge
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.loading import is_loaded
from lcm_pipeline.warehouse.waiting_updates import known_clients, known_profiles, read_waiting

_CHUNK = 1_000
_MOST_LISTED = 30


@dataclass(frozen=True)
class Foreseen:
    """One update. name: of the update, or of the file's line; reasons: why it would be rejected."""

    name: str
    client_id: int
    columns: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass
class Preview:
    """What a push would do. to_send, unchanged, rejected: updates by what would become of them.

    sent_fields, unchanged_fields, rejected_fields: by column. listed: the first of each kind.
    """

    to_send: int = 0
    unchanged: int = 0
    rejected: int = 0
    sent_fields: Counter[str] = field(default_factory=Counter)
    unchanged_fields: Counter[str] = field(default_factory=Counter)
    rejected_fields: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    listed_to_send: list[Foreseen] = field(default_factory=list)
    listed_rejected: list[Foreseen] = field(default_factory=list)

    def note(self, name: str, client_id: int, verdict: Verdict) -> None:
        """Count one update."""
        self.unchanged_fields.update(verdict.unchanged)
        if verdict.objections:
            self.rejected += 1
            reasons = tuple(map(str, verdict.objections))
            self.rejected_fields.update({one.column for one in verdict.objections if one.column})
            self.reasons.update(reasons)
            _list(self.listed_rejected, Foreseen(name, client_id, reasons=reasons))
        elif verdict.values:
            self.to_send += 1
            self.sent_fields.update(verdict.values.keys())
            _list(self.listed_to_send, Foreseen(name, client_id, tuple(verdict.values)))
        else:
            self.unchanged += 1


def preview_push(
    settings: Settings,
    warehouse: Warehouse,
    *,
    most: int | None = None,
    file: UpdateFile | None = None,
) -> Preview:
    """Judge what is pending, and the rows of a file after it, as a push would."""
    preview = Preview()
    foresight = _Foresight(datetime.now(settings.zone).date())
    with warehouse.connect(autocommit=True, application_name="lcm push") as session:
        for chunk in _chunks(session, file):
            foresight.learn(session, [update.client_id for _, update, _ in chunk])
            for name, update, gone_out in chunk:
                if preview.to_send == most:
                    return preview
                preview.note(name, update.client_id, foresight.judge(update, gone_out))
    return preview


class _Foresight:
    """What would be known of each client after the updates that were looked at."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._known: dict[int, KnownProfile] = {}

    def learn(self, session: Session, client_ids: list[int]) -> None:
        new = sorted({*client_ids} - self._known.keys())
        self._known |= {client_id: KnownProfile() for client_id in new}
        self._known |= known_profiles(session, new)

    def judge(self, update: ProfileUpdate, gone_out: Values | None) -> Verdict:
        known = self._known[update.client_id]
        # What went out already goes out again as it was.
        verdict = Verdict(values=gone_out) if gone_out else judge(update, known, self._today)
        taken = {c: v for c, v in verdict.values.items() if c != POS_CODE}
        self._known[update.client_id] = KnownProfile(
            {**known.last_sent, **taken}, {**known.before, **taken}
        )
        return verdict


_Named = tuple[str, ProfileUpdate, Values | None]


def _chunks(session: Session, file: UpdateFile | None) -> Iterator[list[_Named]]:
    after = 0
    while waiting := read_waiting(session, after=after, most=_CHUNK):
        after = waiting[-1][0].update_id
        yield [(f"update {update.update_id}", update, sent) for update, sent in waiting]
    if file is None or is_loaded(session, file):
        return
    for at in range(0, len(file.rows), _CHUNK):
        yield _named_rows(session, file, file.rows[at : at + _CHUNK])


def _named_rows(session: Session, file: UpdateFile, rows: Sequence[FileRow]) -> list[_Named]:
    updates = [_as_update(file, row) for row in rows]
    known = known_clients(session, [update.client_id for _, update in updates])
    return [
        (name, ProfileUpdate(0, update.client_id, update.values, update.client_id in known), None)
        for name, update in updates
    ]


def _as_update(file: UpdateFile, row: FileRow) -> tuple[str, ProfileUpdate]:
    cells = dict(zip(file.columns, row.cells, strict=True))
    client_id = cells.pop("client_id")
    cells.pop("requested_by", None)
    values = {
        column: str(value) if isinstance(value, date) else value
        for column, value in cells.items()
        if value is not None
    }
    return f"line {row.line}", ProfileUpdate(0, client_id, values)


def _list(listed: list[Foreseen], one: Foreseen) -> None:
    if len(listed) < _MOST_LISTED:
        listed.append(one)
