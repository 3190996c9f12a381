"""What the warehouse can say of the cost of a window before it is read."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.ingest.schedule import Schedule, schedule_clients
from lcm_pipeline.warehouse.queries import query


@dataclass(frozen=True)
class KnownCost:
    """Clients read before, clients never read, clients not due, rows and requests of the first."""

    known: int
    unknown: int
    deferred: int
    rows: int
    requests: float


def cost_of_known_clients(
    session: psycopg.Connection,
    feed: str,
    window: Window,
    schedule: Schedule,
    *,
    page_length: int,
    has_details: bool,
) -> KnownCost:
    """The cost of a window for the clients on the roster; an autocommit session."""
    values = {"page_length": page_length, "has_details": has_details}
    with session.transaction(), session.cursor(row_factory=class_row(KnownCost)) as cursor:
        schedule_clients(session, feed, window, schedule)
        cost = cursor.execute(query("planned_clients"), values).fetchone()
    assert cost is not None  # noqa: S101 - an aggregate returns one row
    return cost
