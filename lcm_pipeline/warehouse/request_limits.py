"""The limits that all processes share: when a request may leave, and how many are in flight.

LCM_MAX_RPS: a process reserves the moments at which its requests leave (`sync.request_pace`).

LCM_MAX_IN_FLIGHT: each process has a session that holds a lock, and a row with the slots that it
wants and holds (`sync.request_slots`). Rows of ended sessions no longer count, so the slots of a
lost process are free at once. So are, a minute later, those of a process that is stopped, as by
Ctrl-Z. A process takes free slots up to its share, and returns those that it does not use.

`sync.shared_pace` and `sync.shared_slots` use them from the process that sends the requests.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from lcm_pipeline.model.errors import UserError, WorkStoppedError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_value, query
from lcm_pipeline.warehouse.sessions import backend_of

# After this many seconds without a report a process is taken for stopped: it reports several times
# a second. Its last requests have ended by then, as the service aborts them earlier.
MAX_SILENT_SECONDS = 60.0


class RequestLimitsError(WorkStoppedError):
    """The limits cannot be read in the warehouse, and no request may leave without them."""


@contextmanager
def stopping_without_limits() -> Iterator[None]:
    """Raise RequestLimitsError for an error of the warehouse that retries did not overcome."""
    try:
        yield
    except (psycopg.Error, UserError) as error:
        cause = str(error).strip().partition("\n")[0].rstrip(".?")
        raise RequestLimitsError(
            "no more requests can be sent, as the warehouse keeps track of LCM_MAX_RPS and"
            f" LCM_MAX_IN_FLIGHT and does not respond: {cause}. What was done is kept: run the"
            " same command again to go on"
        ) from error


class Reservation(NamedTuple):
    """Times of the server's clock, in seconds. first_at: None while others have priority."""

    first_at: float | None
    now_at: float


def reserve_requests(
    session: Session,
    spacing: float,
    count: int,
    *,
    priority: int = 0,
    is_more: bool = False,
    earliest: float = 0.0,
) -> Reservation:
    """Reserve send times for `count` requests, `spacing` seconds apart.

    priority: 0 comes first; others get no reservation while requests of priority 0 wait. is_more:
    more requests wait than are reserved here. earliest: seconds from now to the first time, at
    least.
    """
    values = {
        "spacing": spacing,
        "count": count,
        "priority": priority,
        "is_more": is_more,
        "earliest": earliest,
    }
    row = session.execute(query("reserve_requests"), values).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns one row
    return Reservation(*row)


class Sharer(NamedTuple):
    """A process that sends requests. priority: 0 goes first."""

    priority: int
    wanted: int
    held: int
    is_own: bool


def join_slots(session: Session) -> None:
    """Take the lock that makes the row of this session count until the session ends."""
    locks.acquire_session_lock(session, "requests", backend_of(session))


def share_slots(session: Session, cap: int, *, priority: int, wanted: int, in_flight: int) -> int:
    """Report the slots that this process wants and uses; returns how many it may use.

    Returns at most what the cap leaves after the slots that others hold. If that is less than
    `in_flight`, the process keeps the slots of those requests until they end, and must not start
    others.
    """
    with session.transaction():
        # Rows that a crash of the server loses belong to sessions that the crash has ended too.
        session.execute("set local synchronous_commit = off")
        locks.hold(session, locks.REQUEST_SLOTS)
        session.execute(query("forget_lost_slots"), {"most_silent": MAX_SILENT_SECONDS})
        values = {"priority": priority, "wanted": wanted, "in_flight": in_flight}
        second = int(fetch_value(session, "want_slots", values) or 0)
        sharers = [Sharer(*row) for row in session.execute(query("read_slots")).fetchall()]
        others = sum(sharer.held for sharer in sharers if not sharer.is_own)
        own = [sharer.is_own for sharer in sharers].index(True)
        allowed = max(0, min(shares(sharers, cap, second)[own], cap - others))
        session.execute(query("store_slots"), {"held": max(in_flight, allowed)})
    return allowed


def shares(sharers: Sequence[Sharer], cap: int, second: int) -> list[int]:
    """Distribute the cap by priority, then evenly; no process gets more than it wants.

    second: of the server's clock. Slots that cannot be divided evenly go to another process each
    second.
    """
    granted = [0] * len(sharers)
    left = cap
    for priority in sorted({sharer.priority for sharer in sharers}):
        members = [n for n, sharer in enumerate(sharers) if sharer.priority == priority]
        turn = second % len(members)
        members = members[turn:] + members[:turn]
        while left and (short := [n for n in members if granted[n] < sharers[n].wanted]):
            each = max(1, left // len(short))
            for number in short:
                more = min(each, left, sharers[number].wanted - granted[number])
                granted[number] += more
                left -= more
    return granted
