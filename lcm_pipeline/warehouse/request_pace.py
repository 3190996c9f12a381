"""The moments at which requests may leave, shared out over all processes with LCM_MAX_RPS."""

import psycopg

from lcm_pipeline.warehouse.queries import query


def reserve_requests(session: psycopg.Connection, spacing: float, count: int) -> float:
    """Reserve moments for some requests, `spacing` seconds apart; returns seconds to the first."""
    values = {"spacing": spacing, "count": count}
    with session.transaction():
        # What a crash of the server forgets has passed by then.
        session.execute("set local synchronous_commit = off")
        row = session.execute(query("reserve_requests"), values).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns one row
    return float(row[0])
