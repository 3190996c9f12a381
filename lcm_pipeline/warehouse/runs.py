"""Runs: one reading of a feed for a window, owned by one process, resumed when that one died.

The owner holds a session-level advisory lock, so the kernel and Postgres tell the living from the
dead: nothing is inferred from clocks or process ids.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.statements import query

_LOCK_CLASS = 0x6C636D
# A dying owner's session may take a moment to end; a living one never lets go.
_PATIENCE_SECONDS = 2.0

_UNFINISHED = """
select run_id, started_at > now() - interval '24 hours' as is_fresh
from sync.runs
where feed = %(feed)s and window_from = %(first)s and window_to = %(last)s and status = 'reading'
order by run_id desc
"""

_LEFT_BEHIND = """
select run_id from sync.runs where status = 'reading' and run_id <> %s
  and started_at < now() - interval '24 hours'
"""


@dataclass(frozen=True)
class Run:
    """A run that this process owns. is_resumed: an earlier process began it."""

    run_id: int
    feed: str
    window: Window
    is_resumed: bool


@contextmanager
def own_run(warehouse: Warehouse, feed: str, window: Window) -> Iterator[Run]:
    """Take over the unfinished run of this feed and window, or begin a new one."""
    with warehouse.connect(autocommit=True, application_name=f"lcm run {feed}") as session:
        run = _take_over(session, feed, window) or _begin(session, feed, window)
        _abandon_old(session, run)
        _forget_old_fetches(session)
        yield run


def close_run(session: psycopg.Connection, run: Run, status: str, error: str | None = None) -> None:
    """Mark the run as ended and drop its staging tables."""
    session.execute(
        "update sync.runs set status = %s, error = %s, finished_at = now() where run_id = %s",
        (status, error, run.run_id),
    )
    drop_staging(session, run.run_id)


def read_counts(session: psycopg.Connection, run: Run) -> dict[str, Any]:
    """What the run did so far, by the names of the report's fields."""
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("report_run"), {"run_id": run.run_id}).fetchone() or {}


def drop_staging(session: psycopg.Connection, run_id: int) -> None:
    """Drop the landing tables of a run."""
    rows = session.execute(
        "select format('drop table if exists %%I.%%I', schemaname, tablename)"
        " from pg_tables where schemaname = 'staging' and tablename ~ %s",
        (f"_r{run_id}$",),
    ).fetchall()
    for (statement,) in rows:
        session.execute(statement)


def _take_over(session: psycopg.Connection, feed: str, window: Window) -> Run | None:
    where = {"feed": feed, "first": window.first, "last": window.last}
    for run_id, is_fresh in session.execute(_UNFINISHED, where).fetchall():
        if is_fresh and _lock_patiently(session, run_id) and _is_reading(session, run_id):
            return Run(run_id, feed, window, is_resumed=True)
    return None


def _begin(session: psycopg.Connection, feed: str, window: Window) -> Run:
    row = session.execute(
        "insert into sync.runs (feed, window_from, window_to) values (%s, %s, %s) returning run_id",
        (feed, window.first, window.last),
    ).fetchone()
    assert row is not None  # noqa: S101 - `returning` answers one row
    _lock(session, row[0])
    return Run(row[0], feed, window, is_resumed=False)


def _forget_old_fetches(session: psycopg.Connection) -> None:
    """The ledger of finished runs is kept for a week; what it proved is in the state."""
    session.execute(
        "delete from sync.fetches using sync.runs where runs.run_id = fetches.run_id"
        " and runs.status <> 'reading' and runs.finished_at < now() - interval '7 days'"
    )


def _abandon_old(session: psycopg.Connection, run: Run) -> None:
    """Close runs of dead processes that are too old to go on with."""
    for (run_id,) in session.execute(_LEFT_BEHIND, (run.run_id,)).fetchall():
        if _lock(session, run_id):
            old = Run(run_id, run.feed, run.window, is_resumed=False)
            close_run(session, old, "abandoned", "its process ended, and nobody went on with it")
            session.execute("select pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, run_id))


def _is_reading(session: psycopg.Connection, run_id: int) -> bool:
    row = session.execute("select status from sync.runs where run_id = %s", (run_id,)).fetchone()
    return row is not None and row[0] == "reading"


def _lock_patiently(session: psycopg.Connection, run_id: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _lock(session, run_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _lock(session: psycopg.Connection, run_id: int) -> bool:
    row = session.execute("select pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, run_id)).fetchone()
    return bool(row and row[0])
