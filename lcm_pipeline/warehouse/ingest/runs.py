"""Commands and runs. A run reads one feed for a window of days; a command is a set of feeds.

A run is identified by its feed and window, whichever process began it. A process that finds it
unfinished joins it: tasks are claimed in chunks, so any number of processes can read them. Each
process holds a session lock on the run in the session that it works in. Postgres releases the lock
when the process dies, so nothing has to be inferred from clocks or process ids.

A command is unfinished until each of its feeds is published. The same command, called again,
resumes it and does not read again what it has published.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.pseudonyms import PseudonymKeyError, Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.waiting import wait_until
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.privacy.keys import require_pseudonyms
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, query
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from lcm_pipeline.warehouse.transient_errors import is_conflict, is_transient

# As in the database; `missing`: it has no such run any more.
RunStatus = Literal["reading", "published", "stopped", "abandoned", "missing"]

# How long to wait for the server to end a lost session.
_END_SECONDS = 2.0


@dataclass(frozen=True)
class Run:
    """A run that this process works on. is_resumed: another process began it."""

    run_id: int
    feed: str
    window: Window
    is_resumed: bool = False


class RunLostError(Exception):
    """Another process ended the run while this one was working on it. status: how it ended."""

    def __init__(self, run: Run, status: RunStatus) -> None:
        super().__init__(
            f"{run.feed}: the connection to the warehouse was lost, and meanwhile another process"
            f" ended the run (it is {status}). What was read is stored: run the same command again"
            " when that process has finished"
        )
        self.status = status


class PersonErasedError(RunLostError):
    """A person was erased while this process had lost its connection; it may hold rows of them."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, "reading")
        self.args = (
            f"{run.feed}: the connection to the warehouse was lost, and meanwhile a person was"
            " erased, whose rows this sync may have in memory. They are not stored. What was read"
            " before is: run the same command again to go on",
        )


def begin_command(session: Session, feeds: Sequence[str], window: Window) -> int:
    """Find the unfinished command of these feeds and this window, or begin one; returns its id.

    Commands whose days a later command has covered are abandoned, as resuming them is useless.
    """
    values = {"feeds": list(feeds), "first": window.first, "last": window.last}
    while True:
        session.execute(query("abandon_outdated_commands"))
        session.execute(query("begin_command"), values)
        # Retry if another process has finished the command between the two statements.
        if (command_id := fetch_value(session, "find_command", values)) is not None:
            return int(command_id)


def abandon_commands(session: Session) -> None:
    """Abandon unfinished commands: resumed, they would not read again what they have published."""
    session.execute(query("abandon_commands"))


def find_published_run(
    session: Session, command_id: int, feed: str, window: Window, fresh_from: datetime
) -> Run | None:
    """The run of a feed that a command has published, begun at `fresh_from` or later; or None.

    If there is one, finishes the command unless one of its feeds is not published yet.
    """
    values = {"command_id": command_id, "feed": feed, "fresh_from": fresh_from}
    row = session.execute(query("find_published_run"), values).fetchone()
    if row is not None:
        # A process without this command may have published its last feed.
        session.execute(query("finish_command"), {"command_id": command_id})
    return None if row is None else Run(int(row[0]), feed, window, is_resumed=True)


def runs_of_command(
    session: Session, command_id: int, window: Window
) -> list[tuple[Run, datetime, datetime]]:
    """The last run of each feed that a command has published, with the times of begin and end."""
    rows = session.execute(query("runs_of_command"), {"command_id": command_id}).fetchall()
    return [(Run(run_id, feed, window), began, ended) for run_id, feed, began, ended in rows]


def begin_run(
    reconnecting: ReconnectingSession, feed: str, window: Window, pseudonyms: Pseudonyms
) -> Run:
    """Join the unfinished run of a feed and window, or begin one and join it; see `join_run`."""
    values = {"feed": feed, "first": window.first, "last": window.last}

    def begin(session: Session) -> bool:
        # Unfinished runs without a live process whose days a later run has covered.
        with session.transaction():
            for outdated in fetch_column(session, "abandon_outdated_runs"):
                _drop_staging(session, outdated)
        for old in fetch_column(session, "old_ledgers"):
            session.execute(query("delete_ledger"), {"run_id": old})
        return session.execute(query("begin_run"), values).fetchone() is not None

    run = None
    while run is None:
        is_new = reconnecting.run(begin)
        # None if another process has finished the run in between: then begin one.
        run = join_run(reconnecting, feed, window, pseudonyms, is_resumed=not is_new)
    return run


def join_run(
    reconnecting: ReconnectingSession,
    feed: str,
    window: Window,
    pseudonyms: Pseudonyms,
    *,
    is_resumed: bool = True,
) -> Run | None:
    """Join the unfinished run of a feed and window; returns None if there is none.

    From then on the session holds a lock on the run, also after it reconnects. Work in it raises
    RunLostError if another process ended the run meanwhile, or a person was erased, and
    PseudonymKeyError if stored rows were hashed meanwhile with other keys than `pseudonyms`, with
    which this process hashes.
    """
    values = {"feed": feed, "first": window.first, "last": window.last}
    erased = 0

    def join(session: Session) -> Run | None:
        nonlocal erased
        row = session.execute(query("find_run"), values).fetchone()
        if row is None:
            return None
        run = Run(int(row[0]), feed, window, is_resumed)
        locks.acquire_session_lock(session, "run", run.run_id)
        if _status_of(session, run) != "reading":
            locks.release_session_lock(session, "run", run.run_id)
            return None
        # Claims carry the pid of a server process, and a dead reader may have had the same pid.
        session.execute(query("drop_claims"), {"run_id": run.run_id})
        # Nobody is erased while this session holds its lock.
        erased = _count_erased(session)
        return run

    run = reconnecting.run(join)
    if run is not None:
        joined = run
        reconnecting.on_reconnect(
            lambda session, lost: _join_again(session, joined, lost, pseudonyms, erased)
        )
    return run


def leave_run(reconnecting: ReconnectingSession, run: Run) -> None:
    """Release the claims and the lock of a run that continues without this process."""
    reconnecting.on_reconnect(None)

    def leave(session: Session) -> None:
        session.execute(query("drop_claims"), {"run_id": run.run_id})
        locks.release_session_lock(session, "run", run.run_id)

    reconnecting.run(leave)


def finish_run(
    reconnecting: ReconnectingSession, run: Run, command_id: int | None, *, leaves_tasks: bool
) -> bool:
    """Close a published run, and finish the command if all its feeds are published.

    leaves_tasks: also if tasks have to be read or published, which another process has added;
    otherwise it returns False then, and does nothing. Raises RunLostError if another process ended
    the run without publishing it.
    """

    def finish(session: Session) -> bool:
        with session.transaction():
            # Nobody adds tasks while the run is locked.
            session.execute(query("lock_run"), {"run_id": run.run_id})
            is_waiting = fetch_value(session, "is_waiting", {"run_id": run.run_id})
            if is_waiting and not leaves_tasks:
                return False
            close_run(session, run, "published")
            finish_command(session)
        return True

    def finish_command(session: Session) -> None:
        session.execute(query("finish_command"), {"command_id": command_id})

    try:
        is_finished = reconnecting.run(finish)
    except RunLostError as lost:
        # The session may have been lost after the commit: then this process ended the run itself.
        if lost.status != "published":
            raise
        is_finished = True
        reconnecting.on_reconnect(None)
        reconnecting.run(finish_command)
    if is_finished:
        reconnecting.on_reconnect(None)
    return is_finished


def stop_run(reconnecting: ReconnectingSession, run: Run, reason: str) -> None:
    """Close a run that is not to be published.

    Raises RunLostError if another process ended the run without stopping it.
    """

    def stop(session: Session) -> None:
        with session.transaction():
            close_run(session, run, "stopped", reason)

    try:
        reconnecting.run(stop)
    except RunLostError as lost:
        # As in finish_run.
        if lost.status != "stopped":
            raise
    reconnecting.on_reconnect(None)


def close_run(
    session: Session,
    run: Run,
    status: Literal["published", "stopped"],
    error: str | None = None,
) -> None:
    """Mark a run as ended, and drop its staging tables."""
    values = {"run_id": run.run_id, "status": status, "error": error}
    session.execute(query("close_run"), values)
    _drop_staging(session, run.run_id)


def record_failure(reconnecting: ReconnectingSession, run: Run, error: Exception) -> None:
    """Store on the run why its process stopped, for `lcm status`; the run can be resumed.

    The message of a database error may quote a row, so only its type is stored.
    """
    if isinstance(error, psycopg.Error):
        if is_transient(error) and not is_conflict(error):
            # Retries have failed already, so the warehouse is not available to store the reason.
            return
        reason = f"the warehouse failed: {type(error).__name__} (SQLSTATE {error.sqlstate})"
    else:
        reason = str(error) if isinstance(error, UserError) else type(error).__name__
    values = {"run_id": run.run_id, "error": reason}
    # The caller raises the error itself, even if it cannot be stored.
    with suppress(psycopg.Error, RunLostError, PseudonymKeyError):
        reconnecting.run(lambda session: session.execute(query("record_failure"), values))


def read_counts(session: Session, run: Run) -> dict[str, Any]:
    """The counts of the run so far, by the names of the report's fields."""
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("report_run"), {"run_id": run.run_id}).fetchone() or {}


def add_request_counts(session: Session, run: Run, requests: int, retries: int) -> None:
    """Add what a process has sent to the counts of the run."""
    values = {"run_id": run.run_id, "requests": requests, "retries": retries}
    session.execute(query("add_request_counts"), values)


def _join_again(session: Session, run: Run, lost: int, pseudonyms: Pseudonyms, erased: int) -> None:
    """Lock the run in a new session, and take over the claims of the lost one.

    The server process of the lost session may not have noticed that its client is gone, so it is
    ended first. erased: how many persons had been erased when the run was joined.
    """
    holder = {"kind": "run", "lock_id": run.run_id, "lost": lost}
    wait_until(
        lambda: not session.execute(query("end_lost_backend"), holder).fetchall(),
        within=_END_SECONDS,
    )
    locks.acquire_session_lock(session, "run", run.run_id)
    status = _status_of(session, run)
    if status != "reading":
        raise RunLostError(run, status)
    # While no session held the lock, another process may have begun to use a new key and found no
    # run to wait for. Numbers hashed without that key must not be staged: a run with the key would
    # publish them. A key that begins after this check finds the lock.
    require_pseudonyms(session, pseudonyms, is_run=True)
    # An erasure deletes the tasks of its client, but a registration day has rows of many clients.
    if _count_erased(session) != erased:
        raise PersonErasedError(run)
    session.execute(query("renew_claims"), {"run_id": run.run_id, "lost": lost})


def _drop_staging(session: Session, run_id: int) -> None:
    session.execute(query("drop_staging"), {"run_id": run_id})


def _count_erased(session: Session) -> int:
    return int(fetch_value(session, "count_forgotten") or 0)


def _status_of(session: Session, run: Run) -> RunStatus:
    status: RunStatus | None = fetch_value(session, "run_status", {"run_id": run.run_id})
    return status or "missing"
