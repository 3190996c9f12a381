"""Removes facts, history and ledgers that are older than LCM_RETENTION_MONTHS.

Three steps; each may be interrupted, and the next run continues it:

1. The first stored day moves forward. In the same transaction each client's older rows are counted
   in `sync.client_state.expired`, so that totals add up from then on, whether the months are
   dropped yet or not. No sync requests those days, and no reading stages their rows.
2. Months of core and history are detached (concurrently, by the owner) and dropped. That waits at
   most a few seconds for readers, and hardly blocks other sessions meanwhile; a month in use is
   left for the next run.
3. Old rows of the outbox, the quarantine and the ledgers are deleted, some thousands at a time, in
   one pass over each table.

Registrations, clients and cards have no month: they describe who is a member, and stay until
`lcm forget`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from time import monotonic, sleep
from zoneinfo import ZoneInfo

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.transform.values import EARLIEST_DAY
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.marts.refresh import are_up_to_date, refresh_marts
from lcm_pipeline.warehouse.migrations import have_old_marts
from lcm_pipeline.warehouse.partitions import ensure_partitions, month_of_partition, next_month
from lcm_pipeline.warehouse.queries import composed, fetch_value, queries, query

# How long a statement waits for a lock before its month is left for the next run.
_LOCK_TIMEOUT = "3s"
# How long a function of the owner, which waits for readers only for a moment, is called again.
_PATIENCE_SECONDS = 3.0
_INTERVAL_SECONDS = 0.3
# Of the table that is passed through, per transaction. A block holds some dozens of rows; an offer
# has some dozens of goods.
_BLOCKS_AT_ONCE, _BLOCKS_OF_OFFERS_AT_ONCE = 128, 8
_STATS = "favourite_stats"
_OFFERS = "favourite_offers"
# Tables whose months are removed, in the order of the removal.
_MONTHLY = (
    *(("core", table.name) for table in CORE_TABLES if table.is_held_for_months),
    ("core", _STATS),
    *(("history", table.name) for table in CORE_TABLES if table.has_history),
)
# Queries that list old rows, with their tables: referring tables come before the referenced ones.
_OLD_ROWS = {
    "old_attempts": ("outbox", "attempts"),
    "old_updates": ("outbox", "profile_updates"),
    "old_pushes": ("outbox", "pushes"),
    "old_quarantine": ("sync", "quarantine"),
    "old_tasks": ("sync", "fetches"),
    "old_runs": ("sync", "runs"),
    "old_commands": ("sync", "commands"),
    "old_window_days": ("sync", "window_days"),
    "old_published_days": ("mart", "published_days"),
    "old_published_months": ("mart", "published_months"),
    "old_restated_answers": ("mart", "restated_answers"),
}
# A month cannot be removed now: it has readers, a user's view reads it, or it has another owner.
_NOT_REMOVABLE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.ObjectInUse,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.InsufficientPrivilege,
)


class NotRemovedError(UserError):
    """The warehouse failed during the removal; the message says what to do."""


@dataclass(frozen=True)
class OldRows:
    """Rows of one table that are older than the limit.

    is_estimate: `rows` is Postgres' estimate, of the last analyze of a month; otherwise counted.
    left: why they are still stored; "" if they were removed, or would be.
    """

    table: str
    rows: int
    bytes: int
    left: str = ""
    is_estimate: bool = False


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
        found = [
            _rows_of_month(session, schema, month)
            for schema, parent in _MONTHLY
            for month in _old_months(session, schema, parent, kept_from)
        ]
        values = _values(kept_from, zone)
        for name, table in _OLD_ROWS.items():
            row = session.execute(composed("count_old", listed=SQL(queries()[name])), values)
            rows, size = row.fetchone() or (0, 0)
            found.append(OldRows(".".join(table), rows, size))
    listed = tuple(old for old in found if old.rows or old.bytes)
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
        has_changed = any(
            month.is_attached
            for schema, parent in _MONTHLY
            for month in _old_months(session, schema, parent, kept_from)
        )
        if has_changed:
            # First: if the removal is interrupted, the next refresh still computes all marts.
            _forget_marts(session)
        found = list(_remove_months(session, kept_from))
        values = _values(kept_from, zone)
        for name, table in _OLD_ROWS.items():
            if count := _delete(session, name, table, values):
                found.append(OldRows(".".join(table), count, 0))
        if has_changed:
            # Again, as another process may have refreshed them during the removal.
            _forget_marts(session)
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


def _forget_marts(session: Session) -> None:
    """Let the next refresh compute all marts, without reporting restatements by the source."""
    with session.transaction():
        for name in ("forget_answers", "forget_all_refreshes", "forget_all_horizons"):
            session.execute(query(name))


def _values(kept_from: date, zone: ZoneInfo) -> dict[str, object]:
    return {"kept_from": kept_from, "before": datetime.combine(kept_from, time(), zone)}


def _advance_first_day(session: Session, kept_from: date) -> None:
    """Step 1. Raises LockNotAvailable during a publish."""
    before = read_kept_from(session)
    if before is not None and before >= kept_from:
        return
    ensure_partitions(session, "core", _STATS, [kept_from])
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


@dataclass(frozen=True)
class _Month:
    """A table of a month. rows: Postgres' estimate, -1 if it was never analyzed.

    is_detaching: its detachment has begun and has to be finalized.
    """

    name: str
    rows: int
    bytes: int
    is_attached: bool
    is_detaching: bool


def _old_months(session: Session, schema: str, parent: str, kept_from: date) -> list[_Month]:
    values = {"schema_name": schema, "parent": parent}
    found = [_Month(*row) for row in session.execute(query("old_months"), values).fetchall()]
    return [month for month in found if next_month(month_of_partition(month.name)) <= kept_from]


def _rows_of_month(session: Session, schema: str, month: _Month) -> OldRows:
    """The rows of a month: Postgres' estimate, or a count if it was never analyzed."""
    name = f"{schema}.{month.name}"
    if month.rows >= 0:
        return OldRows(name, month.rows, month.bytes, is_estimate=True)
    counted = session.execute(composed("count_month", table=Identifier(schema, month.name)))
    (rows,) = counted.fetchone() or (0,)
    return OldRows(name, rows, month.bytes)


def _remove_months(session: Session, kept_from: date) -> Iterator[OldRows]:
    """Step 2, table by table. If a month is in use, the later ones of its table are left too."""
    for schema, parent in _MONTHLY:
        months: Sequence[_Month] = _old_months(session, schema, parent, kept_from)
        blocking = ""
        # A detachment that was interrupted has to be finalized before the next one can begin.
        for month in sorted(months, key=lambda one: (not one.is_detaching, one.name)):
            name = f"{schema}.{month.name}"
            rows = OldRows(name, max(month.rows, 0), month.bytes, is_estimate=True)
            if blocking:
                yield replace(rows, left=f"{blocking} has to be removed first")
                continue
            try:
                rows = _rows_of_month(session, schema, month)
                if parent == _OFFERS and schema == "core":
                    _delete_goods(session, month.name, kept_from)
                _remove_month(session, schema, parent, month)
            except _NOT_REMOVABLE as error:
                blocking = name
                rows = replace(rows, left=_reason(error))
            yield rows


def _remove_month(session: Session, schema: str, parent: str, month: _Month) -> None:
    """Detach and drop a month.

    The owner detaches it concurrently, without a lock that blocks readers of the table:
    transactions that already read it still see the month; later ones do not. A function cannot do
    that, so for other users it takes the lock when nobody reads the table: readers that begin while
    it waits are blocked for 0.2 s at most.
    """
    if not fetch_value(session, "acts_as_owner_of", {"schema_name": schema, "parent": parent}):
        _remove_month_patiently(session, schema, parent, month)
        return
    if month.is_attached:
        how = SQL("finalize" if month.is_detaching else "concurrently")
        session.execute(
            SQL("alter table {} detach partition {} {}").format(
                Identifier(schema, parent), Identifier(schema, month.name), how
            )
        )
    session.execute(SQL("drop table {}").format(Identifier(schema, month.name)))


def _remove_month_patiently(session: Session, schema: str, parent: str, month: _Month) -> None:
    values = {"schema_name": schema, "parent": parent, "month_table": month.name}
    deadline = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            session.execute(query("remove_month"), values)
        except psycopg.errors.LockNotAvailable:
            if monotonic() > deadline:
                raise
            sleep(_INTERVAL_SECONDS)
        else:
            return


def _delete_goods(session: Session, month: str, kept_from: date) -> None:
    """Delete the goods of a month's offers: they have no day of their own."""
    statement = composed("delete_goods_of_month", offers=Identifier("core", month))
    month_table = {"month_table": f"core.{month}"}
    (blocks,) = session.execute(query("blocks_of_month"), month_table).fetchone() or (0,)
    for tids in _tid_ranges(0, blocks - 1, _BLOCKS_OF_OFFERS_AT_ONCE):
        session.execute(statement, {"kept_from": kept_from, **tids})


def _delete(session: Session, name: str, table: tuple[str, str], values: dict[str, object]) -> int:
    """Delete the rows that a query lists, in batches of one transaction; returns how many."""
    listed = SQL(queries()[name])
    row = session.execute(composed("blocks_of_old", listed=listed), values).fetchone()
    first_block, last_block = row or (None, None)
    if first_block is None or last_block is None:
        return 0
    statement = composed("delete_old", table=Identifier(*table), listed=listed)
    deleted = 0
    for tids in _tid_ranges(first_block, last_block, _BLOCKS_AT_ONCE):
        try:
            deleted += session.execute(statement, {**values, **tids}).rowcount
        except (psycopg.errors.LockNotAvailable, psycopg.errors.ForeignKeyViolation):
            # Another session uses them: they are left for the next run.
            return deleted
    return deleted


def _tid_ranges(first_block: int, last_block: int, at_once: int) -> Iterator[dict[str, str]]:
    """Ranges of tids that cover these blocks: the first tid, and the one after the last."""
    for block in range(first_block, last_block + 1, at_once):
        yield {"first": f"({block},0)", "after": f"({block + at_once},0)"}


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "another session reads it"
    return error.diag.message_primary or type(error).__name__
