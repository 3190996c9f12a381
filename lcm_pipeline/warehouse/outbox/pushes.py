"""Pushes: beginning and ending one run of the write-back, with its counts. See also `push_lock`.

A push takes the updates that were in the outbox when it began. A push that was killed is closed by
the next one.
"""

import getpass
from dataclasses import dataclass

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.outbox.push_lock import PushLostError, keep_push_lock
from lcm_pipeline.warehouse.queries import fetch_row, fetch_rows, query
from lcm_pipeline.warehouse.sessions import ReconnectingSession


@dataclass(frozen=True)
class Push:
    """A push that this process owns. last_update_id: the newest update that it takes."""

    push_id: int
    last_update_id: int
    undo_of: int | None = None


@dataclass(frozen=True)
class PushReport:
    """The result of a push: counts of updates by status, see the columns of outbox.pushes.

    status: done, stopped (error says why) or interrupted. seconds: wall time.
    """

    push_id: int
    status: str
    undo_of: int | None
    sent: int
    unchanged: int
    partial: int
    rejected: int
    failed: int
    unknown: int
    held_back: int
    left_over: int
    requests: int
    seconds: float
    error: str | None = None

    @property
    def concerns(self) -> int:
        """Updates that need attention."""
        return self.partial + self.rejected + self.failed + self.unknown + self.held_back


@dataclass(frozen=True)
class Reason:
    """A reason for which updates of a push have their status, and the first of these updates."""

    status: str
    reason: str
    updates: int
    first_update_id: int


def begin_push(reconnecting: ReconnectingSession, undo_of: int | None = None) -> Push:
    """Begin a push under the push lock, and close the pushes of dead processes."""

    def begin(session: Session) -> Push:
        with session.transaction():
            session.execute(query("close_dead_pushes"))
            values = {"requested_by": _user_name(), "undo_of": undo_of}
            row = session.execute(query("begin_push"), values).fetchone()
            assert row is not None  # noqa: S101 - `returning` returns one row
            if undo_of is None:
                session.execute(query("take_rejected_rows"), {"push_id": row[0]})
        return Push(row[0], row[1], undo_of)

    push = reconnecting.run(begin)
    keep_push_lock(reconnecting, push.push_id)
    return push


def end_push(
    reconnecting: ReconnectingSession,
    push: Push,
    status: str,
    *,
    requests: int,
    error: str | None = None,
) -> PushReport:
    """Close a push and count its updates by status; raises PushLostError if another began."""
    values = {"push_id": push.push_id, "status": status, "error": error, "requests": requests}
    report = reconnecting.run(lambda session: fetch_row(session, PushReport, "close_push", values))
    if report is None:
        raise PushLostError(push.push_id)
    return report


def reasons_of(session: Session, push_id: int, most: int) -> list[Reason]:
    """Why updates of a push were rejected, partial or failed, the most frequent first."""
    values = {"push_id": push_id, "most": most}
    return fetch_rows(session, Reason, "reasons_of_push", values)


def put_back_refused(session: Session, push: Push) -> None:
    """Make the updates that the API refused in this push pending again."""
    session.execute(query("put_back_refused_updates"), {"push_id": push.push_id})


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "unknown"
