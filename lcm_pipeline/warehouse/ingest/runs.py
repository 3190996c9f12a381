"""Commands and runs: what was called for, and one reading of a feed for a window of days.

A run is found by its feed and window, whichever process began it. Who finds it unfinished joins it:
its tasks are claimed one chunk at a time, so any number of processes can read them. Each holds a
shared advisory lock on the run, so the kernel and Postgres tell the living from the dead: nothing
is inferred from clocks or process ids. The session that holds the lock is the one that works.

A command is some feeds for a window. It is unfinished until each of its feeds is published, and the
same command then goes on with it: what it has published is not read again.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Warehouse, is_transient
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession

# The server may not have noticed yet that a lost session has ended.
_PATIENCE_SECONDS = 2.0
_INTERVAL_SECONDS = 0.05


@dataclass(frozen=True)
class Run:
    """An unfinished run that this process works on. is_resumed: another process began it."""

    run_id: int
    feed: str
    window: Window
    is_resumed: bool = False


class RunLostError(Exception):
    """The run has ended under this process. status: how it ended."""

    def __init__(self, run: Run, status: str) -> None:
        super().__init__(
            f"{run.feed}: the connection to the warehouse was lost, and meanwhile another process"
            f" ended the run (it is {status}). What was read is kept: run the same command again"
            " when that one is done"
        )
        self.status = status


def begin_command(session: psycopg.Connection, feeds: Sequence[str], window: Window) -> int:
    """Find the unfinished command of these feeds and this window, or begin one; returns its id.

    One whose days a later command has covered since is abandoned: it would be resumed in vain.
    """
    values = {"feeds": list(feeds), "first": window.first, "last": window.last}
    while True:
        session.execute(query("abandon_outdated_commands"))
        session.execute(query("begin_command"), values)
        # Another process may have finished it in between.
        if row := session.execute(query("find_command"), values).fetchone():
            return int(row[0])


def find_published_run(
    session: psycopg.Connection, command_id: int, feed: str, window: Window, fresh_from: datetime
) -> Run | None:
    """The run of a feed that a command has published, begun at `fresh_from` or later."""
    values = {"command_id": command_id, "feed": feed, "fresh_from": fresh_from}
    row = session.execute(query("find_published_run"), values).fetchone()
    return None if row is None else Run(int(row[0]), feed, window, is_resumed=True)


def runs_of_command(
    session: psycopg.Connection, command_id: int, window: Window
) -> list[tuple[Run, datetime, datetime]]:
    """The last run of each feed that a command has published: when it began, and when it ended."""
    rows = session.execute(query("runs_of_command"), {"command_id": command_id}).fetchall()
    return [(Run(run_id, feed, window), began, ended) for run_id, feed, began, ended in rows]


def progress_of_command(warehouse: Warehouse, command_id: int) -> list[tuple[str, int, int]]:
    """How far each run of a command is: its feed, its tasks, and those that are read.

    Nothing while the warehouse cannot be asked.
    """
    with (
        suppress(psycopg.Error),
        warehouse.connect(autocommit=True, application_name="lcm progress") as session,
    ):
        rows = session.execute(query("progress_of_command"), {"command_id": command_id})
        return rows.fetchall()
    return []


def begin_run(
    reconnecting: ReconnectingSession, feed: str, window: Window, command_id: int | None = None
) -> Run:
    """Join the unfinished run of a feed and window, or begin one."""
    values = {"feed": feed, "first": window.first, "last": window.last}

    def begin(session: psycopg.Connection) -> bool:
        _abandon_outdated(session)
        session.execute(query("forget_old_tasks"))
        return session.execute(query("begin_run"), values).fetchone() is not None

    while True:
        is_new = reconnecting.run(begin)
        # Another process may have finished it in between.
        if run := join_run(reconnecting, feed, window, is_resumed=not is_new):
            assigned = {"run_id": run.run_id, "command_id": command_id}
            reconnecting.run(partial(_assign, assigned))
            return run


def join_run(
    reconnecting: ReconnectingSession, feed: str, window: Window, *, is_resumed: bool = True
) -> Run | None:
    """Join the unfinished run of a feed and window; None where there is none.

    From then on the session holds a lock on the run, and gets it again when it is lost: work in it
    raises RunLostError once the run has ended.
    """
    values = {"feed": feed, "first": window.first, "last": window.last}

    def join(session: psycopg.Connection) -> Run | None:
        row = session.execute(query("find_run"), values).fetchone()
        if row is None:
            return None
        run = Run(int(row[0]), feed, window, is_resumed)
        _lock(session, run)
        if _status_of(session, run) != "reading":
            _unlock(session, run)
            return None
        # The number of this server process may have been that of a reader that ended.
        session.execute(query("drop_claims"), {"run_id": run.run_id})
        return run

    run = reconnecting.run(join)
    if run is not None:
        joined = run
        reconnecting.on_reconnect(lambda session, lost: _join_again(session, joined, lost))
    return run


def leave_run(reconnecting: ReconnectingSession, run: Run) -> None:
    """Give up the claims and the lock of a run that goes on without this process."""
    reconnecting.on_reconnect(None)

    def leave(session: psycopg.Connection) -> None:
        session.execute(query("drop_claims"), {"run_id": run.run_id})
        _unlock(session, run)

    reconnecting.run(leave)


def end_run(
    reconnecting: ReconnectingSession,
    run: Run,
    status: str,
    error: str | None = None,
    command_id: int | None = None,
) -> None:
    """Close a run; the command is finished with it when each of its feeds is published."""

    try:
        reconnecting.run(
            partial(close_run, run=run, status=status, error=error, command_id=command_id)
        )
    except RunLostError as lost:
        # The session may have been lost between the commit and its response.
        if lost.status != status:
            raise
    reconnecting.on_reconnect(None)


def close_run(
    session: psycopg.Connection,
    run: Run,
    status: str,
    error: str | None = None,
    command_id: int | None = None,
) -> None:
    """Mark a run, and the command whose last one it is, as ended; drop the staging tables."""
    with session.transaction():
        values = {"run_id": run.run_id, "status": status, "error": error}
        session.execute(query("close_run"), values)
        _drop_staging(session, run.run_id)
        session.execute(query("finish_command"), {"command_id": command_id})


def record_failure(reconnecting: ReconnectingSession, run: Run, error: Exception) -> None:
    """Keep on the run why its process gave up, for `lcm status`; the run itself can be resumed.

    A database's own error may quote a row, so its kind alone is kept.
    """
    if isinstance(error, psycopg.Error):
        if is_transient(error):
            # It was tried again for long enough: the warehouse is not there to write to.
            return
        reason = f"the warehouse failed: {type(error).__name__} (SQLSTATE {error.sqlstate})"
    else:
        reason = str(error) if isinstance(error, UserError) else type(error).__name__
    values = {"run_id": run.run_id, "error": reason}
    # The error itself is raised by the caller, whatever becomes of this.
    with suppress(psycopg.Error, RunLostError):
        reconnecting.run(lambda session: session.execute(query("record_failure"), values))


def read_counts(session: psycopg.Connection, run: Run) -> dict[str, Any]:
    """What the run did so far, by the names of the report's fields."""
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("report_run"), {"run_id": run.run_id}).fetchone() or {}


def count_requests(session: psycopg.Connection, run: Run, requests: int, retries: int) -> None:
    """Add what a process has sent to the counts of the run."""
    values = {"run_id": run.run_id, "requests": requests, "retries": retries}
    session.execute(query("count_requests"), values)


def _join_again(session: psycopg.Connection, run: Run, lost: int) -> None:
    """Lock the run on a new session, and take over the claims of the lost one.

    Its server process may hold on to them, as it has not noticed that its client is gone.
    """
    holder = {"lock_class": locks.RUN_CLASS, "lock_id": run.run_id, "lost": lost}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while session.execute(query("end_lost_backend"), holder).fetchall():
        if time.monotonic() > deadline:
            break
        time.sleep(_INTERVAL_SECONDS)
    _lock(session, run)
    status = _status_of(session, run)
    if status != "reading":
        raise RunLostError(run, status)
    session.execute(query("renew_claims"), {"run_id": run.run_id, "lost": lost})


def _abandon_outdated(session: psycopg.Connection) -> None:
    """Close unfinished runs of dead processes whose days a later run has covered."""
    with session.transaction():
        values = {"lock_class": locks.RUN_CLASS}
        for (run_id,) in session.execute(query("abandon_outdated_runs"), values).fetchall():
            _drop_staging(session, run_id)


def _drop_staging(session: psycopg.Connection, run_id: int) -> None:
    values = {"pattern": f"_r{run_id}$"}
    for (statement,) in session.execute(query("staging_tables"), values).fetchall():
        session.execute(statement)


def _assign(values: dict[str, Any], session: psycopg.Connection) -> None:
    session.execute(query("assign_run"), values)


def _status_of(session: psycopg.Connection, run: Run) -> str:
    row = session.execute(query("run_status"), {"run_id": run.run_id}).fetchone()
    return str(row[0]) if row else "missing"


def _lock(session: psycopg.Connection, run: Run) -> None:
    session.execute("select pg_advisory_lock_shared(%s, %s)", (locks.RUN_CLASS, run.run_id))


def _unlock(session: psycopg.Connection, run: Run) -> None:
    session.execute("select pg_advisory_unlock_shared(%s, %s)", (locks.RUN_CLASS, run.run_id))
