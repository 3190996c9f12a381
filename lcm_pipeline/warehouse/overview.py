"""The state of the warehouse at a glance, from what the sync keeps of itself: no large scan."""

from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.statements import query


@dataclass(frozen=True)
class FeedOverview:
    """One feed. complete_through: the last business day with nothing missing before it, or None.

    rows: rows of its main table that the source has. pending: clients (days) not proven.
    deferred: clients not read since the newest day ended, as they were not due yet.
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
