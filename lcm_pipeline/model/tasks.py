"""Types between reading and warehouse: a task, its proven rows, its staged rows, its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from lcm_pipeline.model.pages import SourceRow

# Per reading, and stored per feed. A source with more names than this sends data as field names.
MAX_UNKNOWN_FIELDS = 1_000

TaskStatus = Literal["done", "unproven", "failed"]
ReadingKind = Literal["unchanged", "delta", "full"]


@dataclass(frozen=True)
class Task:
    """One unit of work of a run: a client or a registration day; the other one is None.

    task_id: its row in the ledger; 0 for a reading outside a run. must_be_full: read everything,
    even if it seems unchanged. source_total and the digests are the last proven state, None before
    the first reading; version counts its published changes. has_bad_rows: the client has rows in
    quarantine.
    """

    client_id: int | None = None
    day: date | None = None
    task_id: int = 0
    must_be_full: bool = False
    version: int = 0
    source_total: int | None = None
    fingerprint: bytes | None = None
    recent_rows: bytes | None = None
    envelope_digest: bytes | None = None
    has_bad_rows: bool = False

    def __str__(self) -> str:
        return str(self.day) if self.client_id is None else f"client {self.client_id}"


@dataclass(frozen=True)
class ClientRows:
    """The proven rows of one client, before they are transformed.

    rows: new and changed ones, or all. envelope: the rest of the response, as JSON; None when it is
    already known or empty. details: what was fetched row by row, such as the goods of an offer, by
    the row's id. zone: of the business day. snapshot_date: the last day of the window. latest: the
    last plausible business day; later rows go to quarantine.
    """

    client_id: int
    rows: Sequence[SourceRow]
    zone: ZoneInfo
    snapshot_date: date
    latest: date
    envelope: bytes | None = None
    details: Mapping[int, Sequence[SourceRow]] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that does not fit its payload definition, as it was sent, for sync.quarantine.

    client_id: None when the row names no client. day: the registration day that was polled; None
    for a feed that is read by client. context: what else the row belongs to: an offer, or the
    envelope, as ENVELOPE of `transform.envelope`.
    """

    table: str
    client_id: int | None
    digest: bytes
    reason: str
    raw: str
    context: str = ""
    day: date | None = None


@dataclass(frozen=True)
class StagedRows:
    """What a reading stages: records by table, in the order of the table's staging columns.

    omitted_tables: tables for which the response had no member, which is not the same as no rows.
    unknown_fields: names as they were sent, at most MAX_UNKNOWN_FIELDS.
    """

    records: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    unknown_fields: frozenset[str] = frozenset()
    omitted_tables: frozenset[str] = frozenset()

    @property
    def record_count(self) -> int:
        """Records over all tables."""
        return sum(len(rows) for rows in self.records.values())


@dataclass(frozen=True)
class Outcome:
    """How one task ended. For `done`, with the state to store when it is published.

    has_envelope: `staged` has what the envelope holds. single_page: rows in the one page that had
    everything; 0 when there were several. source_total, the digests: as in Task, of this reading.
    expired: rows of the source older than the first day that is kept; set by a full reading.
    is_refused: the service refused this client for good, as it does with unknown clients.
    """

    task: Task
    status: TaskStatus
    read_at: datetime
    staged: StagedRows = field(default_factory=StagedRows)
    reading: ReadingKind | None = None
    has_envelope: bool = False
    single_page: int = 0
    source_total: int | None = None
    expired: int = 0
    fingerprint: bytes | None = None
    recent_rows: bytes | None = None
    envelope_digest: bytes | None = None
    error: str | None = None
    is_refused: bool = False
