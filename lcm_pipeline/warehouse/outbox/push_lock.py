"""The push lock: one push at a time, and a sync first if both share a request rate.

The owner of a push holds a session lock, so that Postgres knows whether the owner is alive. An
update that the owner finds in `sending` was left by a push that ended. A process that lost the lock
sends no request: it checks before each one, in the session that holds the lock.
"""

import psycopg

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.waiting import wait_until
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_value, query
from lcm_pipeline.warehouse.request_limits import RequestLimitsError
from lcm_pipeline.warehouse.sessions import ReconnectingSession

# The session of an owner that was killed may take a moment to end; a live owner keeps the lock.
_PATIENCE_SECONDS = 2.0


class PushRunningError(UserError):
    """Another push is running."""

    def __init__(self) -> None:
        super().__init__(
            "another lcm push is running in this warehouse: only one may run at a time, or updates"
            " of a client could overtake each other. Wait until it has ended"
        )


class PushLostError(Exception):
    """The lock was lost with the connection, and another push has begun meanwhile."""

    def __init__(self, push_id: int) -> None:
        super().__init__(
            f"push {push_id}: the connection to the warehouse was lost, and meanwhile another push"
            " began. That push continues with the updates that this one left: nothing is lost"
        )


# The errors of what is checked before each request (may_send, the limits over all processes): they
# come from the warehouse, not from the API, and end the push.
SEND_CHECK_ERRORS: tuple[type[Exception], ...] = (
    PushLostError,
    RequestLimitsError,
    psycopg.Error,
)


def acquire_push_lock(reconnecting: ReconnectingSession) -> None:
    """Take the push lock; raises PushRunningError if another process holds it."""

    def lock(session: Session) -> bool:
        return wait_until(lambda: locks.try_exclusive(session, "push"), within=_PATIENCE_SECONDS)

    if not reconnecting.run(lock):
        raise PushRunningError
    keep_push_lock(reconnecting, 0)


def keep_push_lock(reconnecting: ReconnectingSession, push_id: int) -> None:
    """Take the lock again on each new session that replaces a lost one.

    The caller's next statement raises PushLostError if another push has begun meanwhile.
    """

    def relock(session: Session, lost: int) -> None:
        holder = {"kind": "push", "lock_id": locks.EXCLUSIVE, "lost": lost}

        def lock() -> bool:
            if locks.try_exclusive(session, "push"):
                return True
            # The backend of the lost session may still hold the lock.
            session.execute(query("end_lost_backend"), holder)
            return False

        if not wait_until(lock, within=_PATIENCE_SECONDS):
            raise PushLostError(push_id)
        if fetch_value(session, "push_status", {"push_id": push_id}) == "died":
            raise PushLostError(push_id)

    reconnecting.on_reconnect(relock)


def quiet_seconds(max_rps: float | None) -> float | None:
    """The pause in seconds between a sync and a push that share a rate; None without a rate.

    It is the interval over which the rate is counted, so that requests of both never add up.
    """
    return None if max_rps is None else max(1.0, 1.0 / max_rps)


def may_send(session: Session, quiet: float | None) -> bool:
    """Whether a request may be sent now. Call it in the session that holds the lock.

    quiet: a sync must have ended at least so many seconds ago; None if sync and push do not share a
    rate. Raises PushLostError, psycopg.Error.
    """
    if quiet is None:
        # The round trip fails if the session, and with it the lock, is lost.
        session.execute("select")
        return True
    return not fetch_value(session, "is_syncing", {"quiet": quiet})


def was_pushing(session: Session, quiet: float) -> bool:
    """Whether a push may have sent a request within the last `quiet` seconds."""
    return bool(fetch_value(session, "was_pushing", {"quiet": quiet}))
