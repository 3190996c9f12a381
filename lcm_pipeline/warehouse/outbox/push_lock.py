"""Whose turn it is: one push at a time, and the sync before the push where both share a rate.

The owner of a push holds a session-level advisory lock, so Postgres knows whether the owner is
alive. An update found in `sending` by the owner was left by a push that ended. No request leaves a
process that lost the lock: before each one it asks through the session that holds it.
"""

import time
from collections.abc import Callable

import psycopg

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession

# A dying owner's session may take a moment to end; a living one never lets go.
_PATIENCE_SECONDS = 2.0
_INTERVAL_SECONDS = 0.05


class PushRunningError(UserError):
    """Another push is at work."""

    def __init__(self) -> None:
        super().__init__(
            "another lcm push is at work in this warehouse: one at a time, or updates of a client"
            " could overtake each other. Wait until it is done"
        )


class PushLostError(Exception):
    """The lock was lost with the connection, and another push has begun meanwhile."""

    def __init__(self, push_id: int) -> None:
        super().__init__(
            f"push {push_id}: the connection to the warehouse was lost, and meanwhile another push"
            " began. It goes on with what this one left: nothing is lost"
        )


# What the asking for leave raises, between the answers of the API: it ends the push.
LEAVE_ERRORS: tuple[type[Exception], ...] = (PushLostError, psycopg.Error)


def acquire_push_lock(reconnecting: ReconnectingSession) -> None:
    """Become the only one who pushes; raises PushRunningError."""
    if not reconnecting.run(lambda session: _lock_patiently(session, lambda: None)):
        raise PushRunningError
    keep_push_lock(reconnecting, 0)


def keep_push_lock(reconnecting: ReconnectingSession, push_id: int) -> None:
    """Get the lock again on each session that follows a lost one; the work raises PushLostError."""
    reconnecting.on_reconnect(_lock_again(push_id))


def quiet_seconds(max_rps: float | None) -> float | None:
    """How long nobody sends when a sync and a push take turns at one rate; None without a rate.

    As long as the rate is counted over: then requests of both never count together.
    """
    return None if max_rps is None else max(1.0, 1.0 / max_rps)


def may_send(session: psycopg.Connection, quiet: float | None) -> bool:
    """Whether a request may leave now. Call it in the session that has the lock.

    quiet: seconds since a sync must have ended, as both share a rate; None when they do not.
    """
    if quiet is None:
        session.execute("select")
        return True
    values = {"lock_class": locks.RUN_CLASS, "quiet": quiet}
    row = session.execute(query("is_syncing"), values).fetchone()
    return not (row and row[0])


def was_pushing(session: psycopg.Connection, quiet: float) -> bool:
    """Whether a push may have sent something within so many seconds."""
    values = {"lock_class": locks.PUSH[0], "lock_id": locks.PUSH[1], "quiet": quiet}
    row = session.execute(query("was_pushing"), values).fetchone()
    return bool(row and row[0])


def _lock_again(push_id: int) -> Callable[[psycopg.Connection, int], None]:
    """What to do on a session that follows a lost one, whose backend may linger."""

    def lock(session: psycopg.Connection, lost: int) -> None:
        holder = {"lock_class": locks.PUSH[0], "lock_id": locks.PUSH[1], "lost": lost}
        if not _lock_patiently(session, lambda: session.execute(query("end_lost_backend"), holder)):
            raise PushLostError(push_id)
        row = session.execute(query("push_status"), {"push_id": push_id}).fetchone()
        if row is not None and row[0] == "died":
            raise PushLostError(push_id)

    return lock


def _lock_patiently(session: psycopg.Connection, between: Callable[[], object]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    statement = "select pg_try_advisory_lock(%s, %s)"
    while session.execute(statement, locks.PUSH).fetchone() != (True,):
        between()
        if time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL_SECONDS)
    return True
