"""Reservation of send times, so that all processes together stay below LCM_MAX_RPS."""

from typing import NamedTuple

import psycopg

from lcm_pipeline.warehouse.queries import query


class Reservation(NamedTuple):
    """Times of the server's clock, in seconds. first_at: None while others have priority."""

    first_at: float | None
    now_at: float


def reserve_requests(
    session: psycopg.Connection,
    spacing: float,
    count: int,
    *,
    priority: int = 0,
    is_more: bool = False,
) -> Reservation:
    """Reserve send times for `count` requests, `spacing` seconds apart.

    priority: 0 comes first; others get no reservation while requests of priority 0 wait. is_more:
    more requests wait than are reserved here.
    """
    values = {"spacing": spacing, "count": count, "priority": priority, "is_more": is_more}
    with session.transaction():
        # Reservations that a crash of the server loses are past by the time it is up again.
        session.execute("set local synchronous_commit = off")
        row = session.execute(query("reserve_requests"), values).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns one row
    return Reservation(*row)
