"""What the warehouse knows of registration days and paging: read before a run, kept after it."""

from datetime import date

import psycopg

from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.queries import query


def first_polled_day(session: psycopg.Connection) -> date | None:
    """The earliest registration day that was ever polled."""
    row = session.execute("select min(registration_date) from sync.registration_days").fetchone()
    return row[0] if row else None


def polled_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range that were polled with a proven answer."""
    rows = session.execute(
        "select registration_date from sync.registration_days"
        " where registration_date between %s and %s and read_at is not null",
        (first, last),
    )
    return {row[0] for row in rows.fetchall()}


def pending_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range whose last polling came to nothing."""
    rows = session.execute(
        "select registration_date from sync.registration_days"
        " where registration_date between %s and %s and pending_since is not null",
        (first, last),
    )
    return {row[0] for row in rows.fetchall()}


def known_clients(session: psycopg.Connection) -> list[tuple[str, int]]:
    """A few clients, with a feed to ask the service for: those that were answered before, first."""
    rows = session.execute(query("known_clients"))
    return [(row[0], row[1]) for row in rows.fetchall()]


def newest_day(session: psycopg.Connection, endpoint: str) -> date | None:
    """The last day of a feed that was published; None before its first sync."""
    row = session.execute(
        "select max(day) from sync.window_days where endpoint = %s", (endpoint,)
    ).fetchone()
    return row[0] if row else None


def read_base(session: psycopg.Connection, endpoint: str) -> int | None:
    """The number that an endpoint was seen to give its first row."""
    row = session.execute(
        "select base from sync.paging_habits where endpoint = %s", (endpoint,)
    ).fetchone()
    return int(row[0]) if row else None


def store_base(session: psycopg.Connection, endpoint: str, base: int) -> None:
    """Remember the number that an endpoint gives its first row."""
    session.execute(
        "insert into sync.paging_habits as kept (endpoint, base) values (%s, %s)"
        " on conflict (endpoint) do update set base = excluded.base"
        " where kept.base <> excluded.base",
        (endpoint, base),
    )


def largest_single_page(session: psycopg.Connection, run: Run) -> tuple[int, int] | None:
    """The client whose whole history came in the largest single page, and that page's rows."""
    row = session.execute(
        "select client_id, single_page from sync.fetches"
        " where run_id = %s and status = 'done' and single_page > 0"
        " order by single_page desc, client_id limit 1",
        (run.run_id,),
    ).fetchone()
    return (row[0], row[1]) if row else None


def read_again(session: psycopg.Connection, run: Run, *, from_page: int) -> int:
    """Put clients whose history came in one page of so many rows or more back on the ledger."""
    return session.execute(
        "update sync.fetches set status = 'pending'"
        " where run_id = %s and status = 'done' and reading <> 'unchanged'"
        " and (single_page >= %s or (%s = 0 and single_page = 0))",
        (run.run_id, from_page, from_page),
    ).rowcount


def count_requests(session: psycopg.Connection, run: Run, requests: int, retries: int) -> None:
    """Add to the run's counts."""
    session.execute(
        "update sync.runs set requests = requests + %s, retries = retries + %s where run_id = %s",
        (requests, retries, run.run_id),
    )
