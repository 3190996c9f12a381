"""What a run has to know before it reads.

The days that were polled and published, how endpoints page, and the first day that is stored.
"""

from datetime import date

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, query


def first_polled_day(session: Session) -> date | None:
    """The earliest registration day that was ever polled; None before the first poll."""
    return fetch_value(session, "first_polled_day")


def polled_days(session: Session, first: date, last: date) -> set[date]:
    """The registration days in a range that were polled with a proven response."""
    return set(fetch_column(session, "polled_days", {"first": first, "last": last}))


def pending_days(session: Session, first: date, last: date) -> set[date]:
    """The registration days in a range whose last poll failed."""
    return set(fetch_column(session, "pending_days", {"first": first, "last": last}))


def read_kept_from(session: Session) -> date | None:
    """The first business day that is stored; None without a limit.

    See `warehouse.privacy.expiration`.
    """
    return fetch_value(session, "kept_from")


def newest_day(session: Session, feed: str) -> date | None:
    """The last day of a feed that was published; None before its first sync."""
    return fetch_value(session, "newest_day", {"feed": feed})


def read_base(session: Session, feed: str) -> int | None:
    """The number of the first row in the paging of a feed's endpoint, 0 or 1; None if unknown."""
    return fetch_value(session, "read_base", {"feed": feed})


def store_base(session: Session, feed: str, base: int) -> None:
    """Store the number of the first row in the paging of a feed's endpoint."""
    session.execute(query("store_base"), {"feed": feed, "base": base})
