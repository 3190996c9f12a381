"""The state of the warehouse at a glance, from what the sync keeps of itself: no large scan."""

from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query


@dataclass(frozen=True)
class FeedOverview:
    """One feed, as the view sync.feed_completeness defines it, so as the marts tell it too.

    complete_through: the last business day that is complete with all days before it, or None.
    rows: rows of its main table that the source has, without those in quarantine. pending: clients
    (days, for registrations) that have no proof; deferred: clients that were not due yet; both of
    the newest day. quarantined: rows in open quarantine, which no day waits for.
    """

    feed: str
    complete_through: date | None
    rows: int
    pending: int
    deferred: int
    quarantined: int
    published_at: datetime | None


def read_overview(warehouse: Warehouse) -> list[FeedOverview]:
    """One entry per feed, in the order in which they are synced."""
    with (
        warehouse.connect() as session,
        session.cursor(row_factory=class_row(FeedOverview)) as cursor,
    ):
        return cursor.execute(query("overview")).fetchall()
