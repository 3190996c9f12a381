"""Estimates the cost of a window from earlier readings."""

from dataclasses import dataclass

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.schedule import Schedule, schedule_clients
from lcm_pipeline.warehouse.queries import fetch_row


@dataclass(frozen=True)
class KnownCost:
    """The cost of a window for known clients.

    known: clients that were read before. unknown: clients that were never read. deferred: clients
    that are not due. rows, requests: those of the known clients.
    """

    known: int
    unknown: int
    deferred: int
    rows: int
    requests: int


def cost_of_known_clients(
    session: Session,
    feed: str,
    window: Window,
    schedule: Schedule,
    *,
    page_length: int,
    has_details: bool,
) -> KnownCost:
    """Estimate the cost of a window for the clients on the roster.

    session: an autocommit session. page_length: rows per page. has_details: whether each row takes
    another request.
    """
    values = {"page_length": page_length, "has_details": has_details}
    with session.transaction():
        schedule_clients(session, feed, window, schedule)
        cost = fetch_row(session, KnownCost, "planned_clients", values)
    assert cost is not None  # noqa: S101 - an aggregate returns one row
    return cost
