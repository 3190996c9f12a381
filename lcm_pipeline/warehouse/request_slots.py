"""The slots of LCM_MAX_IN_FLIGHT: how many requests each process may have in flight.

Each process has a session that holds a lock, and a row that says what it wants and holds. The rows
of sessions that have ended count no more, so the slots of a lost process are free at once. A
process takes what nobody holds, up to its share, and gives back what it does not use.
"""

from collections.abc import Sequence
from typing import NamedTuple

import psycopg

from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.queries import query


class Sharer(NamedTuple):
    """A process that sends requests. priority: 0 goes first."""

    priority: int
    wanted: int
    held: int
    is_own: bool


def join_slots(session: psycopg.Connection) -> None:
    """Let the row of this session count for as long as the session lives."""
    session.execute("select pg_advisory_lock(%s, pg_backend_pid())", (locks.REQUEST_SLOTS_CLASS,))


def share_slots(
    session: psycopg.Connection, cap: int, *, priority: int, wanted: int, in_flight: int
) -> int:
    """Say what this process wants and uses; returns how many requests it may have in flight.

    Never more than the cap leaves beside what others hold. Where that is fewer than are in flight,
    their slots are held until they have ended, and no others may begin.
    """
    with session.transaction():
        # What a crash of the server forgets, its sessions have lost.
        session.execute("set local synchronous_commit = off")
        session.execute("select pg_advisory_xact_lock(%s)", (locks.REQUEST_SLOTS,))
        session.execute(query("forget_lost_slots"), {"lock_class": locks.REQUEST_SLOTS_CLASS})
        values = {"priority": priority, "wanted": wanted, "in_flight": in_flight}
        session.execute(query("want_slots"), values)
        rows = session.execute(query("read_slots")).fetchall()
        sharers = [Sharer(*row[:4]) for row in rows]
        others = sum(sharer.held for sharer in sharers if not sharer.is_own)
        [share] = [
            share
            for sharer, share in zip(sharers, shares(sharers, cap, rows[0][4]), strict=True)
            if sharer.is_own
        ]
        allowed = max(0, min(share, cap - others))
        session.execute(query("store_slots"), {"held": max(in_flight, allowed)})
    return allowed


def shares(sharers: Sequence[Sharer], cap: int, second: int) -> list[int]:
    """Share the cap out: by priority, then evenly, and to nobody more than it wants.

    second: of the clock. Where a slot cannot be split, the turn moves on with it.
    """
    given = [0] * len(sharers)
    left = cap
    for priority in sorted({sharer.priority for sharer in sharers}):
        members = [n for n, sharer in enumerate(sharers) if sharer.priority == priority]
        turn = second % len(members)
        members = members[turn:] + members[:turn]
        while left and (hungry := [n for n in members if given[n] < sharers[n].wanted]):
            each = max(1, left // len(hungry))
            for number in hungry:
                more = min(each, left, sharers[number].wanted - given[number])
                given[number] += more
                left -= more
    return given
