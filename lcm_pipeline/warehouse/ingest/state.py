"""The sync state of clients, registration days and paging, read before a run and stored after."""

from collections.abc import Sequence
from datetime import date

import psycopg

from lcm_pipeline.model.forgotten import Forgotten, forgotten_by
from lcm_pipeline.warehouse.queries import query


def first_polled_day(session: psycopg.Connection) -> date | None:
    """The earliest registration day that was ever polled; None before the first poll."""
    row = session.execute(query("first_polled_day")).fetchone()
    return row[0] if row else None


def polled_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range that were polled with a proven response."""
    rows = session.execute(query("polled_days"), {"first": first, "last": last})
    return {row[0] for row in rows.fetchall()}


def pending_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range whose last poll failed."""
    rows = session.execute(query("pending_days"), {"first": first, "last": last})
    return {row[0] for row in rows.fetchall()}


def known_clients(session: psycopg.Connection) -> list[tuple[str, int]]:
    """A few clients, each with a feed to request for it; clients that were read come first."""
    rows = session.execute(query("known_clients"))
    return [(row[0], row[1]) for row in rows.fetchall()]


def load_forgotten(session: psycopg.Connection, key: bytes | None) -> Forgotten:
    """Who was erased; key: that of the settings. Raises ForgottenKeyError."""
    rows = session.execute(query("forgotten_clients")).fetchall()
    if not rows:
        return Forgotten()
    made = [bytes(row[0]) for row in session.execute(query("forget_key")).fetchall()]
    return forgotten_by(made if key is None else [key, *made], rows)


def missing_clients(session: psycopg.Connection, client_ids: Sequence[int]) -> list[int]:
    """Those of the clients that are not in the roster, or are retired."""
    rows = session.execute(query("missing_clients"), {"clients": list(client_ids)})
    return [row[0] for row in rows.fetchall()]


def reset_clients(
    session: psycopg.Connection, feeds: Sequence[str], client_ids: Sequence[int] | None
) -> int:
    """Mark clients as not up to date in the feeds, None for all clients; returns their number."""
    values = {"feeds": list(feeds), "clients": list(client_ids) if client_ids else None}
    row = session.execute(query("reset_clients"), values).fetchone()
    return int(row[0]) if row else 0


def reset_days(session: psycopg.Connection) -> int:
    """Mark all registration days as not up to date; returns their number."""
    row = session.execute(query("reset_days")).fetchone()
    return int(row[0]) if row else 0


def newest_day(session: psycopg.Connection, feed: str) -> date | None:
    """The last day of a feed that was published; None before its first sync."""
    row = session.execute(query("newest_day"), {"feed": feed}).fetchone()
    return row[0] if row else None


def read_base(session: psycopg.Connection, feed: str) -> int | None:
    """The number of the first row in the paging of a feed's endpoint, 0 or 1; None if unknown."""
    row = session.execute(query("read_base"), {"feed": feed}).fetchone()
    return int(row[0]) if row else None


def store_base(session: psycopg.Connection, feed: str, base: int) -> None:
    """Store the number of the first row in the paging of a feed's endpoint."""
    session.execute(query("store_base"), {"feed": feed, "base": base})
