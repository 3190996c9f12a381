"""Runs: one reading of a feed for a window, owned by one process, resumed when that one died.

The owner holds a session-level advisory lock, so the kernel and Postgres tell the living from the
dead: nothing is inferred from clocks or process ids. The session that holds the lock is the one
that works: who loses it has to get the lock again before anything else is written.
"""

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession

# A dying owner's session may take a moment to end; a living one never lets go.
_PATIENCE_SECONDS = 2.0
_INTERVAL_SECONDS = 0.05

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


_END_LOST = """
select pg_terminate_backend(pid) from pg_locks
where locktype = 'advisory' and classid = %(class)s and objid = %(run_id)s and pid = %(lost)s
"""


@dataclass(frozen=True)
class Run:
    """A run that this process owns. is_resumed: an earlier process began it."""

    run_id: int
    feed: str
    window: Window
    is_resumed: bool


class RunLostError(Exception):
    """The run was lost to another process, which went on with it. status: how the run stands."""

    def __init__(self, run: Run, status: str) -> None:
        super().__init__(
            f"{run.feed}: the connection to the warehouse was lost, and meanwhile another process"
            f" went on with the run (it is {status}). What was read is kept: run the same command"
            " again when that one is done"
        )
        self.status = status


def acquire_run(reconnecting: ReconnectingSession, feed: str, window: Window) -> Run:
    """Take over the unfinished run of this feed and window, or begin a new one.

    The session owns it until it ends; its work raises RunLostError once another one does.
    """
    run = reconnecting.run(
        lambda session: _take_over(session, feed, window) or _begin(session, feed, window)
    )
    reconnecting.on_reconnect(lambda session, lost: _own_again(session, run, lost))
    reconnecting.run(lambda session: _abandon_old(session, run))
    reconnecting.run(_forget_old_fetches)
    return run


def end_run(
    reconnecting: ReconnectingSession, run: Run, status: str, error: str | None = None
) -> None:
    """Close a run that the reconnecting session owns, and give it up."""
    try:
        reconnecting.run(lambda session: close_run(session, run, status, error))
    except RunLostError as taken:
        # The session may have been lost between the commit and its answer.
        if taken.status != status:
            raise
    reconnecting.on_reconnect(None)


def close_run(session: psycopg.Connection, run: Run, status: str, error: str | None = None) -> None:
    """Mark the run as ended and drop its staging tables, both or neither."""
    with session.transaction():
        values = {"run_id": run.run_id, "status": status, "error": error}
        session.execute(query("close_run"), values)
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
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for run_id, is_fresh in session.execute(_UNFINISHED, where).fetchall():
        if is_fresh and _lock_by(session, run_id, deadline):
            if _status_of(session, run_id) == "reading":
                return Run(run_id, feed, window, is_resumed=True)
            _unlock(session, run_id)
    return None


def _begin(session: psycopg.Connection, feed: str, window: Window) -> Run:
    """Nobody sees the run before it is locked."""
    with session.transaction():
        values = {"feed": feed, "first": window.first, "last": window.last}
        row = session.execute(query("begin_run"), values).fetchone()
        assert row is not None  # noqa: S101 - `returning` returns one row
        _lock(session, row[0])
    return Run(row[0], feed, window, is_resumed=False)


def _own_again(session: psycopg.Connection, run: Run, lost: int) -> None:
    """Lock the run on a new session; a backend that still holds it for the lost one is ended."""
    holder = {"class": locks.RUN_CLASS, "run_id": run.run_id, "lost": lost}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _lock(session, run.run_id):
        session.execute(_END_LOST, holder)
        if time.monotonic() > deadline:
            raise RunLostError(run, "reading")
        time.sleep(_INTERVAL_SECONDS)
    status = _status_of(session, run.run_id)
    if status != "reading":
        raise RunLostError(run, status)


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
            _unlock(session, run_id)


def _status_of(session: psycopg.Connection, run_id: int) -> str:
    row = session.execute("select status from sync.runs where run_id = %s", (run_id,)).fetchone()
    return str(row[0]) if row else "missing"


def _lock_by(session: psycopg.Connection, run_id: int, deadline: float) -> bool:
    while not _lock(session, run_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL_SECONDS)
    return True


def _unlock(session: psycopg.Connection, run_id: int) -> None:
    session.execute("select pg_advisory_unlock(%s, %s)", (locks.RUN_CLASS, run_id))


def _lock(session: psycopg.Connection, run_id: int) -> bool:
    row = session.execute(
        "select pg_try_advisory_lock(%s, %s)", (locks.RUN_CLASS, run_id)
    ).fetchone()
    return bool(row and row[0])
