"""What is older than LCM_RETENTION_MONTHS: facts, history and ledgers, and how they go.

Three steps, each of which may be broken off and is taken up by the next run:

1. The first day that is held moves on. In the transaction that does it, each client's rows of
   before are counted in `sync.client_state.expired`, so that totals add up from then on, whether
   the months are dropped yet or not. No sync asks for those days, and no reading lands their rows.
2. Months of core and history are detached concurrently and dropped. Each statement waits a few
   seconds at most for those who read, and locks nobody else out meanwhile; what cannot be had is
   left for the next run.
3. Old rows of the outbox, the quarantine and the ledgers are deleted, some thousands at a time.

Registrations, clients and cards are no facts of a month: they say who is a member, and stay until
`lcm forget`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import have_old_marts
from lcm_pipeline.warehouse.partitions import FIRST_PLAUSIBLE_DAY, ensure_partitions, next_month
from lcm_pipeline.warehouse.queries import composed, queries, query

# How long a statement waits for those who hold what it needs, before it is left for the next run.
_LOCK_TIMEOUT = "3s"
_ROWS_AT_ONCE = 10_000
_STATS = "favourite_stats"
_OFFERS = "favourite_offers"
# Tables whose months go, in the order of the removal.
_MONTHLY = (
    *(("core", table.name) for table in CORE_TABLES if table.is_held_for_months),
    ("core", _STATS),
    *(("history", table.name) for table in CORE_TABLES if table.has_history),
)
# Lists of old rows, by the table that holds them: first what refers to others.
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
# What keeps a month for now: readers, a view of others on the month itself, another's table.
_IN_THE_WAY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.ObjectInUse,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.InsufficientPrivilege,
)


class NotRemovedError(UserError):
    """The warehouse failed while what is old was removed; the message says what to do."""


@dataclass(frozen=True)
class OldRows:
    """Rows that are not held any more. rows: of a month an estimate, -1 while nobody analyzed it.

    left: why they are still there; "" where they went, or would go.
    """

    table: str
    rows: int
    bytes: int
    left: str = ""


@dataclass(frozen=True)
class Expired:
    """kept_from: the first business day that is held. rows: what is older, by table and month."""

    kept_from: date
    rows: tuple[OldRows, ...]

    @property
    def left(self) -> tuple[OldRows, ...]:
        """The rows that could not be removed yet: the next run tries again."""
        return tuple(rows for rows in self.rows if rows.left)


def first_day_held(months: int, now: datetime) -> date:
    """The first day of the month that is so many whole months before that of `now` (aware).

    Not before FIRST_PLAUSIBLE_DAY: earlier months have no rows and get no partition.
    """
    count = now.year * 12 + now.month - 1 - months
    return max(date(count // 12, count % 12 + 1, 1), FIRST_PLAUSIBLE_DAY)


def find_expired(warehouse: Warehouse, months: int, zone: ZoneInfo) -> Expired:
    """What is older than so many whole months; changes nothing."""
    kept_from = first_day_held(months, datetime.now(zone))
    with warehouse.connect(application_name="lcm retention") as session:
        kept_from = max(kept_from, read_kept_from(session) or kept_from)
        found = [
            OldRows(f"{schema}.{month.name}", month.rows, month.bytes)
            for schema, parent in _MONTHLY
            for month in _old_months(session, schema, parent, kept_from)
        ]
        values = _values(kept_from, zone)
        for name, table in _OLD_ROWS.items():
            row = session.execute(composed("count_old", listed=SQL(queries()[name])), values)
            rows, size = row.fetchone() or (0, 0)
            found.append(OldRows(".".join(table), rows, size))
    return Expired(kept_from, tuple(one for one in found if one.rows or one.bytes))


def expire(warehouse: Warehouse, months: int, zone: ZoneInfo, now: datetime) -> Expired:
    """Remove what is older than so many whole months; returns what went, and what is left and why.

    now: aware. What is in use is left for the next run. Raises NotRemovedError where the warehouse
    fails; what was done until then is done.
    """
    try:
        return _expire(warehouse, months, zone, now)
    except psycopg.Error as error:
        raise NotRemovedError(
            "what is older than LCM_RETENTION_MONTHS was not all removed: the warehouse failed"
            f" ({type(error).__name__}, SQLSTATE {error.sqlstate}). The next run goes on"
        ) from error


def _expire(warehouse: Warehouse, months: int, zone: ZoneInfo, now: datetime) -> Expired:
    kept_from = first_day_held(months, now.astimezone(zone))
    with warehouse.connect(autocommit=True, application_name="lcm retention") as session:
        session.execute(SQL("set lock_timeout = {}").format(Literal(_LOCK_TIMEOUT)))
        try:
            _move_on(session, kept_from)
        except psycopg.errors.LockNotAvailable:
            # A publish is under way; what was not held before can go all the same.
            held = read_kept_from(session)
            if held is None:
                busy = OldRows("sync.retention", 0, 0, "a publish is under way")
                return Expired(kept_from, (busy,))
            kept_from = held
        else:
            kept_from = read_kept_from(session) or kept_from
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
            # Again, as a refresh may have taken place meanwhile.
            _forget_marts(session)
    if has_changed and not have_old_marts(warehouse):
        refresh_marts(warehouse, everything=True)
    return Expired(kept_from, tuple(found))


def hold_from_start(warehouse: Warehouse, months: int, zone: ZoneInfo) -> None:
    """Let the first sync of an empty warehouse land no row that would go at once."""
    with warehouse.connect(autocommit=True, application_name="lcm retention") as session:
        row = session.execute(query("has_published")).fetchone()
        if row is None or not row[0]:
            kept_from = first_day_held(months, datetime.now(zone))
            session.execute(query("keep_from"), {"kept_from": kept_from})


def _forget_marts(session: Session) -> None:
    """Let the next refresh compute all marts, and find no restatement by the source in that."""
    with session.transaction():
        for name in ("forget_answers", "forget_all_refreshes", "forget_all_horizons"):
            session.execute(query(name))


def _values(kept_from: date, zone: ZoneInfo) -> dict[str, object]:
    return {"kept_from": kept_from, "before": datetime.combine(kept_from, time(), zone)}


def _move_on(session: Session, kept_from: date) -> None:
    """The first step. Raises LockNotAvailable while somebody publishes."""
    before = read_kept_from(session)
    if before is not None and before >= kept_from:
        return
    ensure_partitions(session, "core", _STATS, [kept_from])
    with locks.alone(session, locks.PUBLISH):
        for feed in CLIENT_FEEDS:
            table = feed.main_table
            if table.is_held_for_months and table.date_column is not None:
                statement = composed(
                    "expire_rows",
                    table=Identifier("core", table.name),
                    day=Identifier(table.date_column),
                )
                session.execute(statement, {"feed": feed.name, "kept_from": kept_from})
        session.execute(query("carry_favourite_stats"), {"kept_from": kept_from})
        session.execute(query("keep_from"), {"kept_from": kept_from})


@dataclass(frozen=True)
class _Month:
    """A table of a month. is_detaching: it is detached for new readers, not for all old ones."""

    name: str
    rows: int
    bytes: int
    is_attached: bool
    is_detaching: bool


def _old_months(session: Session, schema: str, parent: str, kept_from: date) -> list[_Month]:
    values = {"schema_name": schema, "parent": parent}
    found = [_Month(*row) for row in session.execute(query("old_months"), values).fetchall()]
    return [month for month in found if next_month(_month_of(month.name)) <= kept_from]


def _month_of(name: str) -> date:
    digits = re.search(r"(\d{4})(\d\d)$", name)
    assert digits is not None  # noqa: S101 - the query asks for names that end so
    return date(int(digits[1]), int(digits[2]), 1)


def _remove_months(session: Session, kept_from: date) -> Iterator[OldRows]:
    """The second step, table by table; after one month that is in use, the others of it wait."""
    for schema, parent in _MONTHLY:
        months: Sequence[_Month] = _old_months(session, schema, parent, kept_from)
        # One that is half detached has to be finished before another can be begun.
        for month in sorted(months, key=lambda one: (not one.is_detaching, one.name)):
            name = f"{schema}.{month.name}"
            try:
                if parent == _OFFERS and schema == "core":
                    _delete_goods(session, month.name, kept_from)
                _detach(session, schema, parent, month)
                session.execute(SQL("drop table {}").format(Identifier(schema, month.name)))
            except _IN_THE_WAY as error:
                yield OldRows(name, month.rows, month.bytes, _reason(error))
                break
            yield OldRows(name, month.rows, month.bytes)


def _detach(session: Session, schema: str, parent: str, month: _Month) -> None:
    """Detach a month without a lock that keeps readers of the table out.

    Who reads the table since before may go on to the end; whoever begins later does not see it.
    """
    if not month.is_attached:
        return
    how = SQL("finalize" if month.is_detaching else "concurrently")
    session.execute(
        SQL("alter table {} detach partition {} {}").format(
            Identifier(schema, parent), Identifier(schema, month.name), how
        )
    )


def _delete_goods(session: Session, month: str, kept_from: date) -> None:
    """Goods have no day of their own: they go with their offers."""
    statement = composed("delete_goods_of_month", offers=Identifier("core", month))
    values = {"most": _ROWS_AT_ONCE, "kept_from": kept_from}
    while session.execute(statement, values).rowcount == _ROWS_AT_ONCE:
        pass


def _delete(session: Session, name: str, table: tuple[str, str], values: dict[str, object]) -> int:
    """Delete what a list of old rows has, each batch in a transaction of its own; returns rows."""
    statement = composed("delete_old", table=Identifier(*table), listed=SQL(queries()[name]))
    deleted = 0
    while True:
        try:
            count = session.execute(statement, {**values, "most": _ROWS_AT_ONCE}).rowcount
        except (psycopg.errors.LockNotAvailable, psycopg.errors.ForeignKeyViolation):
            # Somebody works on them, so they are not as old as they looked.
            return deleted
        deleted += count
        if count < _ROWS_AT_ONCE:
            return deleted


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "somebody reads it"
    return error.diag.message_primary or type(error).__name__
