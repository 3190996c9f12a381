"""Old months of core and history: listed, or removed.

A month is detached (concurrently, by the owner) and dropped. That waits at most a few seconds for
readers, and hardly blocks other sessions meanwhile; a month in use is left for the next run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from time import monotonic, sleep

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.partitions import month_of_partition, next_month
from lcm_pipeline.warehouse.privacy.old_rows import OldRows, tid_ranges
from lcm_pipeline.warehouse.queries import composed, fetch_count, fetch_rows, fetch_value, query

# How long a function of the owner, which waits for readers only for a moment, is called again.
_PATIENCE_SECONDS = 3.0
_INTERVAL_SECONDS = 0.3
# Blocks per transaction. A block holds some dozens of offers, and an offer some dozens of goods.
_BLOCKS_OF_OFFERS_AT_ONCE = 8
# Tables whose months are removed, in the order of the removal.
_MONTHLY = (
    *(("core", table.name) for table in CORE_TABLES if table.is_held_for_months),
    ("core", "favourite_stats"),
    *(("history", table.name) for table in CORE_TABLES if table.has_history),
)
# A month cannot be removed now: it has readers, a user's view reads it, or it has another owner.
_NOT_REMOVABLE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.ObjectInUse,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.InsufficientPrivilege,
)


@dataclass(frozen=True)
class Month:
    """A month of a table. rows: Postgres' estimate, -1 if it was never analyzed.

    is_detaching: its detachment has begun and has to be finalized.
    """

    schema_name: str
    parent: str
    month_table: str
    rows: int
    bytes: int
    is_attached: bool
    is_detaching: bool

    @property
    def name(self) -> str:
        """The month with its schema, for people."""
        return f"{self.schema_name}.{self.month_table}"

    @property
    def identifier(self) -> Identifier:
        """The month in a statement."""
        return Identifier(self.schema_name, self.month_table)


def old_months(session: Session, kept_from: date) -> Iterator[list[Month]]:
    """The months before this day, by table in the order of the removal; each is queried in turn."""
    for schema, parent in _MONTHLY:
        values = {"schema_name": schema, "parent": parent}
        found = fetch_rows(session, Month, "old_months", values)
        yield [m for m in found if next_month(month_of_partition(m.month_table)) <= kept_from]


def rows_of_month(session: Session, month: Month) -> OldRows:
    """The rows of a month: Postgres' estimate, or a count if it was never analyzed."""
    if month.rows >= 0:
        return OldRows(month.name, month.rows, month.bytes, is_estimate=True)
    rows = fetch_count(session, composed("count_table", table=month.identifier))
    return OldRows(month.name, rows, month.bytes)


def remove_months(session: Session, kept_from: date) -> Iterator[OldRows]:
    """Remove them table by table. If a month is in use, the later ones of its table are left too.

    session: an autocommit session, with a lock_timeout.
    """
    for months in old_months(session, kept_from):
        blocking = ""
        # A detachment that was interrupted has to be finalized before the next one can begin.
        for month in sorted(months, key=lambda one: (not one.is_detaching, one.month_table)):
            rows = OldRows(month.name, max(month.rows, 0), month.bytes, is_estimate=True)
            if blocking:
                yield replace(rows, left=f"{blocking} has to be removed first")
                continue
            try:
                rows = rows_of_month(session, month)
                if (month.schema_name, month.parent) == ("core", "favourite_offers"):
                    _delete_goods(session, month, kept_from)
                _remove(session, month)
            except _NOT_REMOVABLE as error:
                blocking = month.name
                reason = error.diag.message_primary or type(error).__name__
                if isinstance(error, psycopg.errors.LockNotAvailable):
                    reason = "another session reads it"
                rows = replace(rows, left=reason)
            yield rows


def _remove(session: Session, month: Month) -> None:
    """Detach and drop a month.

    The owner detaches it concurrently, without a lock that blocks readers of the table:
    transactions that already read it still see the month; later ones do not. A function cannot do
    that, so for other users it takes the lock when nobody reads the table: readers that begin while
    it waits are blocked for 0.2 s at most.
    """
    if not fetch_value(session, "acts_as_owner_of", vars(month)):
        _remove_patiently(session, month)
        return
    if month.is_attached:
        how = SQL("finalize" if month.is_detaching else "concurrently")
        parent = Identifier(month.schema_name, month.parent)
        session.execute(
            SQL("alter table {} detach partition {} {}").format(parent, month.identifier, how)
        )
    session.execute(SQL("drop table {}").format(month.identifier))


def _remove_patiently(session: Session, month: Month) -> None:
    deadline = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            session.execute(query("remove_month"), vars(month))
        except psycopg.errors.LockNotAvailable:
            if monotonic() > deadline:
                raise
            sleep(_INTERVAL_SECONDS)
        else:
            return


def _delete_goods(session: Session, month: Month, kept_from: date) -> None:
    """Delete the goods of a month's offers: they have no day of their own."""
    statement = composed("delete_goods_of_month", offers=month.identifier)
    blocks = fetch_value(session, "blocks_of_month", {"month_table": month.name}) or 0
    for tids in tid_ranges(0, blocks - 1, _BLOCKS_OF_OFFERS_AT_ONCE):
        session.execute(statement, {"kept_from": kept_from, **tids})
