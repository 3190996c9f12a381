"""Removes facts, history and ledgers that are older than LCM_RETENTION_MONTHS.

Three steps; each may be interrupted, and the next run continues it:

1. The first stored day moves forward. In the same transaction each client's older rows are counted
   in `sync.client_state.expired`, so that totals add up from then on, whether the months are
   dropped yet or not. No sync requests those days, and no reading stages their rows.
2. Months of core and history are detached and dropped (`old_months`).
3. Old rows of the outbox, the quarantine and the ledgers are deleted (`old_rows`).

Registrations, clients and cards have no month: they describe who is a member, and stay until
`lcm forget`.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import chain
from zoneinfo import ZoneInfo

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.transform.values import EARLIEST_DAY
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.marts.refresh import are_up_to_date, refresh_marts
from lcm_pipeline.warehouse.migrations import have_old_marts
from lcm_pipeline.warehouse.partitions import ensure_partitions
from lcm_pipeline.warehouse.privacy.old_months import old_months, remove_months, rows_of_month
from lcm_pipeline.warehouse.privacy.old_rows import OldRows, count_old_rows, delete_old_rows
from lcm_pipeline.warehouse.queries import composed, fetch_value, query

# How long a statement waits for a lock before its month is left for the next run.
_LOCK_TIMEOUT = "3s"


class NotRemovedError(UserError):
    """The warehouse failed during the removal; the message says what to do."""


@dataclass(frozen=True)
class Expiration:
    """What is older than the limit, by table and month.

    kept_from: the first business day that is stored. requested_from: the one that
    LCM_RETENTION_MONTHS allows; it is before `kept_from` while an earlier, shorter limit holds.
    """

    kept_from: date
    requested_from: date
    rows: tuple[OldRows, ...]

    @property
    def left(self) -> tuple[OldRows, ...]:
        """The rows that could not be removed yet; the next run tries again."""
        return tuple(rows for rows in self.rows if rows.left)


def first_stored_day(months: int, now: datetime) -> date:
    """The first day of the month that is `months` before the month of `now` (aware).

    Not before EARLIEST_DAY: earlier months have no rows and get no partition.
    """
    count = now.year * 12 + now.month - 1 - months
    return max(date(count // 12, count % 12 + 1, 1), EARLIEST_DAY)


def find_expired(warehouse: Warehouse, months: int, zone: ZoneInfo) -> Expiration:
    """List what is older than `months` whole months; changes nothing.

    Rows of months that were never analyzed are counted, which reads those months.
    """
    requested_from = first_stored_day(months, datetime.now(zone))
    with warehouse.connect(application_name="lcm retention") as session:
        kept_from = max(requested_from, read_kept_from(session) or requested_from)
        old = chain.from_iterable(old_months(session, kept_from))
        found = [rows_of_month(session, month) for month in old]
        found += count_old_rows(session, _values(kept_from, zone))
    listed = tuple(rows for rows in found if rows.rows or rows.bytes)
    return Expiration(kept_from, requested_from, listed)


def expire(warehouse: Warehouse, months: int, zone: ZoneInfo, now: datetime) -> Expiration:
    """Remove what is older than `months` whole months.

    Returns what was removed, and what is left and why: what is in use is left for the next run.
    now: aware. Raises NotRemovedError if the warehouse fails; earlier steps stay done.
    """
    try:
        return _expire(warehouse, months, zone, now)
    except psycopg.Error as error:
        raise NotRemovedError(
            "not everything older than LCM_RETENTION_MONTHS was removed: the warehouse failed"
            f" ({type(error).__name__}, SQLSTATE {error.sqlstate}). The next run continues"
        ) from error


def _expire(warehouse: Warehouse, months: int, zone: ZoneInfo, now: datetime) -> Expiration:
    requested_from = first_stored_day(months, now.astimezone(zone))
    with warehouse.connect(autocommit=True, application_name="lcm retention") as session:
        session.execute(SQL("set lock_timeout = {}").format(Literal(_LOCK_TIMEOUT)))
        try:
            _advance_first_day(session, requested_from)
        except psycopg.errors.LockNotAvailable:
            # A publish is running. Months before the previous limit can be removed anyway.
            previous = read_kept_from(session)
            if previous is None:
                busy = OldRows("sync.retention", 0, 0, "a publish is running")
                return Expiration(requested_from, requested_from, (busy,))
            kept_from = previous
        else:
            kept_from = read_kept_from(session) or requested_from
        old = chain.from_iterable(old_months(session, kept_from))
        has_changed = any(month.is_attached for month in old)
        if has_changed:
            # First: if the removal is interrupted, the next refresh still computes all marts.
            _invalidate_marts(session)
        found = list(remove_months(session, kept_from))
        found += delete_old_rows(session, _values(kept_from, zone))
        if has_changed:
            # Again, as another process may have refreshed them during the removal.
            _invalidate_marts(session)
    # Also if an earlier removal was interrupted before the marts followed.
    if not (have_old_marts(warehouse) or are_up_to_date(warehouse)):
        refresh_marts(warehouse, everything=has_changed)
    return Expiration(kept_from, requested_from, tuple(found))


def limit_first_sync(warehouse: Warehouse, months: int, zone: ZoneInfo) -> None:
    """Set the limit of an empty warehouse, so that its first sync stores no row to remove later."""
    with warehouse.connect(autocommit=True, application_name="lcm retention") as session:
        if not fetch_value(session, "has_published"):
            kept_from = first_stored_day(months, datetime.now(zone))
            session.execute(query("keep_from"), {"kept_from": kept_from})


def _invalidate_marts(session: Session) -> None:
    """Let the next refresh compute all marts, without reporting restatements by the source."""
    with session.transaction():
        for name in ("delete_answers", "invalidate_all_refreshes", "delete_all_horizons"):
            session.execute(query(name))


def _values(kept_from: date, zone: ZoneInfo) -> dict[str, object]:
    return {"kept_from": kept_from, "before": datetime.combine(kept_from, time(), zone)}


def _advance_first_day(session: Session, kept_from: date) -> None:
    """Step 1. Raises LockNotAvailable during a publish."""
    before = read_kept_from(session)
    if before is not None and before >= kept_from:
        return
    ensure_partitions(session, "core", "favourite_stats", [kept_from])
    with locks.exclusive(session, locks.PUBLISH):
        for feed in CLIENT_FEEDS:
            table = feed.main_table
            if table.is_held_for_months:
                statement = composed(
                    "expire_rows",
                    table=Identifier("core", table.name),
                    day=Identifier(table.date_column or ""),
                )
                session.execute(statement, {"feed": feed.name, "kept_from": kept_from})
        session.execute(query("carry_favourite_stats"), {"kept_from": kept_from})
        session.execute(query("keep_from"), {"kept_from": kept_from})
