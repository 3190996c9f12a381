"""The status of the warehouse, read from the state tables of the sync without a large scan.

Nothing here writes, so a read-only login or a standby suffices. Results contain ids, field names
and reasons, but no personal data.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import psycopg

from lcm_pipeline.model.texts import database_message
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import OTHER_SCHEMA_ERRORS, WarehouseUnavailableError
from lcm_pipeline.warehouse.marts.refresh import marts_behind
from lcm_pipeline.warehouse.migrations import require_current_schema
from lcm_pipeline.warehouse.queries import fetch_column, fetch_rows, fetch_value, query

FAILED_STATES = frozenset({"failed", "interrupted", "stopped", "abandoned"})


@dataclass(frozen=True)
class FeedOverview:
    """The completeness of a feed, as the view sync.feed_completeness and the marts define it.

    complete_through: the last business day that is complete with all days before it, or None.
    last_day: the last published business day. rows: rows of its main table that the source has,
    without those in quarantine. pending: clients (days, for registrations) without a proven
    reading; deferred: clients that were not due yet; both of the newest day. quarantined: rows in
    open quarantine, which do not make a day incomplete.
    """

    feed: str
    complete_through: date | None
    last_day: date | None
    rows: int
    pending: int
    deferred: int
    quarantined: int
    published_at: datetime | None

    def days_behind(self, yesterday: date) -> int | None:
        """The number of ended days after the last complete one; None if no day is complete."""
        if self.complete_through is None:
            return None
        return max(0, (yesterday - self.complete_through).days)

    def is_current(self, yesterday: date, max_staleness_days: int = 0) -> bool:
        """Whether it was synced through yesterday, and is complete but for clients not due yet.

        Those may be `max_staleness_days` days behind; a feed that is not synced may not.
        """
        behind = self.days_behind(yesterday)
        return (
            self.last_day is not None
            and self.last_day >= yesterday
            and behind is not None
            and behind <= max_staleness_days
        )


@dataclass(frozen=True)
class RunSummary:
    """One run of a feed.

    state: published, reading (a process works on it), failed (with its error), interrupted (no
    process works on it), stopped (a fuse) or abandoned. Times are aware, in UTC.
    """

    run_id: int
    feed: str
    first_day: date
    last_day: date
    state: str
    started_at: datetime
    finished_at: datetime | None
    requests: int
    retries: int
    rows_read: int
    rows_written: int
    rows_deleted: int
    pending: int
    quarantined: int
    error: str | None

    @property
    def has_failed(self) -> bool:
        """Whether the run has to be repeated, or its stop has to be investigated."""
        return self.state in FAILED_STATES


@dataclass(frozen=True)
class PendingTask:
    """A client, or a registration day, without a proven reading. since: aware, in UTC."""

    feed: str
    client_id: int | None
    day: date | None
    since: datetime | None
    reason: str


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that does not fit the payload definition: its client and the reason, never its content.

    day: the registration day that contained it, for a feed that is read by day. context: what else
    it belongs to, such as an offer; "" for nothing else.
    """

    feed: str
    client_id: int | None
    day: date | None
    table_name: str
    context: str
    since: datetime
    reason: str


@dataclass(frozen=True)
class RetiredClient:
    """A client that the source no longer knows. reason: refused, merged or manual.

    current_client_id: the client that has its cards now, if registrations show it. since: aware, in
    UTC. last_error: the last response of the service for it.
    """

    client_id: int
    current_client_id: int | None
    since: datetime
    reason: str
    last_error: str | None


@dataclass(frozen=True)
class Convention:
    """How the marts interpret rows where no field of the source decides.

    source: of the value in use: parameter, detected or default. detected: what a `share` of the
    `votes` shows; None if no row shows anything. doubt: contradicted or undecided; None if the rows
    agree with the value in use. parameter: the column of mart.parameters that sets it.
    """

    convention: str
    used: str
    source: str
    detected: str | None
    votes: int
    share: Decimal | None
    doubt: str | None
    parameter: str | None


@dataclass(frozen=True)
class WarehouseStatus:
    """What `lcm status` reports, from one snapshot. Lists that were not requested are None.

    retired_count: clients that the source no longer knows; they do not make a day incomplete.
    unmapped_lead_statuses: statuses of leads that are in neither list of mart.parameters, as of the
    newest refresh of the marts; conventions: how the marts interpret rows. Both are None if the
    user may not read the marts. marts_behind: stored marts that are older than the facts, because a
    sync was killed before its marts, read only some feeds, or found totals that differ. None if the
    user may not compare them, no row was published yet, or it was not requested.
    """

    feeds: list[FeedOverview]
    last_runs: list[RunSummary]
    retired_count: int = 0
    unmapped_lead_statuses: list[str] | None = None
    conventions: list[Convention] | None = None
    pending: list[PendingTask] | None = None
    quarantine: list[QuarantinedRow] | None = None
    retired: list[RetiredClient] | None = None
    marts_behind: list[str] | None = None

    @property
    def last_run(self) -> RunSummary | None:
        """The newest failed run, or else the newest run; only the last run of each feed counts."""
        failed = [run for run in self.last_runs if run.has_failed]
        return next(iter(failed or self.last_runs), None)

    def is_complete(self, yesterday: date, max_staleness_days: int = 0) -> bool:
        """Whether every feed is complete through yesterday, with nothing pending or in quarantine.

        With clients that are not due yet, a feed may be `max_staleness_days` days behind.
        """
        return all(
            not feed.pending
            and not feed.quarantined
            and feed.is_current(yesterday, max_staleness_days)
            for feed in self.feeds
        )


def read_overview(warehouse: Warehouse) -> list[FeedOverview]:
    """Read one entry per feed, in the order in which they are synced."""
    with warehouse.connect() as session:
        return fetch_rows(session, FeedOverview, "overview")


def read_status(
    warehouse: Warehouse,
    *,
    lists_pending: bool = False,
    lists_quarantine: bool = False,
    lists_retired: bool = False,
    compares_marts: bool = False,
) -> WarehouseStatus:
    """Read the whole status in one snapshot.

    Raises NothingSyncedError, or WarehouseUnavailableError if the schema is of another version or
    the user may not read the schema sync.
    """
    with open_snapshot(warehouse) as session:
        # A login for monitoring may not use the schema mart.
        statuses: list[str] | None = None
        if fetch_value(session, "may_read_lead_statuses"):
            statuses = fetch_column(session, "unmapped_lead_statuses")
        conventions: list[Convention] | None = None
        if fetch_value(session, "may_read_conventions"):
            conventions = fetch_rows(session, Convention, "conventions_in_use")
        return WarehouseStatus(
            feeds=fetch_rows(session, FeedOverview, "overview"),
            last_runs=_read_runs(session, most_of_feed=1, most=1_000),
            retired_count=int(fetch_value(session, "count_retired") or 0),
            unmapped_lead_statuses=statuses,
            conventions=conventions,
            pending=fetch_rows(session, PendingTask, "pending_tasks") if lists_pending else None,
            quarantine=(
                fetch_rows(session, QuarantinedRow, "quarantined_rows")
                if lists_quarantine
                else None
            ),
            retired=(
                fetch_rows(session, RetiredClient, "retired_clients") if lists_retired else None
            ),
            marts_behind=_compare_marts(session) if compares_marts else None,
        )


def read_runs(warehouse: Warehouse, most: int) -> list[RunSummary]:
    """The newest runs, newest first. Raises as read_status does."""
    with open_snapshot(warehouse) as session:
        return _read_runs(session, most_of_feed=most, most=most)


def read_unknown_fields(warehouse: Warehouse) -> frozenset[str]:
    """The unknown fields of responses, as FEED.FIELD."""
    with open_snapshot(warehouse) as session:
        rows = session.execute(query("unknown_fields")).fetchall()
    return frozenset(f"{feed}.{name}" for feed, name in rows)


@contextmanager
def open_snapshot(warehouse: Warehouse) -> Iterator[Session]:
    """Open a session with one snapshot; raises as `read_status` does."""
    user = ""
    try:
        with warehouse.connect(application_name="lcm status") as session:
            user = session.info.user
            session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            require_current_schema(session, warehouse)
            yield session
    except psycopg.errors.InsufficientPrivilege as error:
        raise WarehouseUnavailableError(
            f"The user {user} may not read the state of the warehouse {warehouse.location}"
            f" ({database_message(str(error))}). Have its owner run lcm migrate, and:\n"
            f"  grant lcm_monitor to {user};"
        ) from error
    except OTHER_SCHEMA_ERRORS as error:
        raise WarehouseUnavailableError(
            f"The schema of {warehouse.location} is of another version"
            f" ({database_message(str(error))}): run lcm migrate"
        ) from error
    except psycopg.OperationalError as error:
        raise WarehouseUnavailableError(
            f"The warehouse {warehouse.location} cannot be read now: {database_message(str(error))}"
        ) from error


def _read_runs(session: Session, *, most_of_feed: int, most: int) -> list[RunSummary]:
    values = {"most_of_feed": most_of_feed, "most": most}
    return fetch_rows(session, RunSummary, "newest_runs", values)


def _compare_marts(session: Session) -> list[str] | None:
    if not fetch_value(session, "has_published_rows"):
        return None
    try:
        with session.transaction():
            return marts_behind(session)
    except (psycopg.errors.InsufficientPrivilege, *OTHER_SCHEMA_ERRORS):
        # A login for monitoring may not use the schemas mart and refresh.
        return None
