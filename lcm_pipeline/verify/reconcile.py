"""Checks the warehouse against the totals of the source, and for consistency.

The asset checks, `lcm status` and `lcm verify` use these queries; they only read.
Totals: rows of a proven reading = live rows + open quarantine, client by client.
"""

from typing import NamedTuple

from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.queries import composed, fetch_count, query

MAX_LISTED = 20


class TotalsDifferError(UserError):
    """Nothing was removed; the message says in which feeds totals differ."""


class TotalDifference(NamedTuple):
    """A client (or registration day) whose rows do not add up to the total of the source."""

    subject: str
    source_total: int
    warehouse_rows: int
    quarantined_rows: int


class TotalDifferences(NamedTuple):
    """How many differ, and the first `MAX_LISTED` of them."""

    total: int
    listed: list[TotalDifference]


class WindowCompleteness(NamedTuple):
    """Clients registered by the end of a window, and those of them not read since it ended.

    pending: the reading failed, or was never made; deferred: not due yet. A registration day that
    was never polled counts as one pending client. For registrations, all counts are days of the
    window.
    """

    clients: int
    pending: int
    deferred: int = 0


def totals_differing(session: Session, feed: Feed) -> TotalDifferences:
    """The clients of a feed whose source total is not live rows plus quarantine."""
    table = feed.main_table
    if feed.is_by_day:
        statement = composed("totals_of_days", table=table.name)
    else:
        statement = composed("totals_of_clients", table=table.name, day=table.date_column or "")
    values = {"feed": feed.name, "table_name": table.name}
    rows = session.execute(statement, values).fetchall()
    listed = [TotalDifference(str(row[0]), *row[1:]) for row in rows[:MAX_LISTED]]
    return TotalDifferences(len(rows), listed)


def feeds_that_differ(warehouse: Warehouse) -> list[str]:
    """The client feeds whose totals differ: the marts that are built on them are blocked."""
    with warehouse.connect() as session:
        return [feed.name for feed in CLIENT_FEEDS if totals_differing(session, feed).total]


def require_totals_for_removal(warehouse: Warehouse) -> None:
    """Raise TotalsDifferError while totals differ: the marts are computed from what is left."""
    if wrong := feeds_that_differ(warehouse):
        raise TotalsDifferError(
            f"totals differ in {', '.join(wrong)}, which blocks the marts, and a removal would"
            " recompute them. Nothing was removed: run lcm verify --all --fix first"
        )


def duplicate_keys(session: Session, feed: Feed) -> int:
    """Number of rows that are live twice: with equal keys, apart from the business day."""
    count = 0
    for table in feed.tables:
        # A key without a day is the primary key; a snapshot has a row for each of its days.
        if table.date_column is None or table.is_snapshot:
            continue
        statement = composed("count_duplicate_keys", table=table.name, key=table.identity)
        count += fetch_count(session, statement)
    return count


def shared_keys(session: Session, feed: Feed) -> int:
    """Number of rows that are live under two clients at once.

    A merge of cards moves rows to another client; the source may have reported half of one.
    """
    count = 0
    for table in feed.tables:
        if not table.moves_between_clients:
            continue
        key = tuple(name for name in table.key if name != "client_id")
        statement = composed("count_shared_keys", table=table.name, key=key)
        count += fetch_count(session, statement)
    return count


def orphans(session: Session, feed: Feed) -> int:
    """Number of live rows whose client is not in the roster."""
    return fetch_count(session, composed("count_orphans", table=feed.main_table.name))


def completeness(session: Session, feed: Feed, window: Window) -> WindowCompleteness:
    """How many clients the last day of the window has, and how many of them are missing."""
    values = {"feed": feed.name, "first": window.first, "last": window.last}
    row = session.execute(query("completeness"), values).fetchone()
    return WindowCompleteness(*row) if row else WindowCompleteness(0, 0)
