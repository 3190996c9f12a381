"""The moments at which requests may leave, shared out over all processes with LCM_MAX_RPS."""

from typing import NamedTuple

import psycopg

from lcm_pipeline.warehouse.queries import query


class Reservation(NamedTuple):
    """Moments of the server's clock, in seconds. first_at: None when others go first."""

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
    """Reserve moments for some requests, `spacing` seconds apart.

    priority: 0 goes first; others reserve nothing while it has requests that wait. is_more: more
    requests wait than are reserved for.
    """
    values = {"spacing": spacing, "count": count, "priority": priority, "is_more": is_more}
    with session.transaction():
        # What a crash of the server forgets has passed by then.
        session.execute("set local synchronous_commit = off")
        row = session.execute(query("reserve_requests"), values).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns one row
    return Reservation(*row)
