"""Detects a connection pooler that shares server sessions between clients, and refuses it.

Runs and pushes are owned through advisory locks of a session, and settings and prepared statements
belong to one. A pooler in transaction or statement mode gives the session to another client after
each transaction, so locks would leak to it and two processes could own the same run.
"""

import selectors
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import psycopg

# What PgBouncer says when it refuses start-up options.
REFUSED_OPTIONS = "unsupported startup parameter"
# A pooler assigns servers last in, first out, or round robin. Querying with one client once, then
# with the other once, twice and three times makes them share a server in either case.
_ROUNDS = 6
# The sessions that a sync has open at once, and a spare one.
SESSIONS_AT_ONCE = 6
_TIMEOUT_SECONDS = 20.0
_BACKEND = b"select pg_backend_pid()"


class SharedSessionsError(Exception):
    """The pooler cannot be used; the message says why."""


def refuse_shared_sessions(
    session: psycopg.Connection, connect: Callable[[], psycopg.Connection]
) -> None:
    """Raise SharedSessionsError if a pooler does not give each client a session of its own.

    session: an autocommit session; connect opens another. Nothing is written or set. Without a
    pooler, the backend that the server reported at the start still serves the session.
    """
    if _backend_of(session) == session.info.backend_pid:
        return
    with ExitStack() as opened:
        other = opened.enter_context(closing(connect()))
        ours, theirs = {_backend_of(session)}, set[int]()
        for number in range(_ROUNDS):
            theirs |= {_backend_of(other) for _ in range(1 + number % 3)}
            ours.add(_backend_of(session))
            if len(ours) > 1 or len(theirs) > 1 or ours & theirs:
                raise SharedSessionsError(
                    "it is behind a connection pooler that assigns a session per transaction"
                    " (pool_mode transaction or statement of PgBouncer), and locks that have to"
                    " last for a whole run would be lost. Set pool_mode = session for this"
                    " database, or connect to Postgres itself"
                )
        for _ in range(SESSIONS_AT_ONCE - 2):
            _backend_of(opened.enter_context(closing(connect())))


def _backend_of(session: psycopg.Connection) -> int:
    """Return the server process of a session; raises SharedSessionsError if the pool is full.

    A full pooler queues a client for minutes without an error, and ignores its request to cancel,
    so the query is sent with a timeout on the socket.
    """
    connection = session.pgconn
    connection.send_query(_BACKEND)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_READ)
        while connection.is_busy():
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SharedSessionsError(
                    "it is behind a connection pooler that provided no further session within"
                    f" {_TIMEOUT_SECONDS:.0f} s: a sync has up to {SESSIONS_AT_ONCE} open at"
                    " once. Raise default_pool_size (or pool_size of the database) of PgBouncer,"
                    " or connect to Postgres itself"
                )
            connection.consume_input()
    result = connection.get_result()
    while connection.get_result() is not None:
        continue
    value = result.get_value(0, 0) if result is not None and result.ntuples else None
    if value is None:
        reason = result.error_message.decode("utf-8", "replace").strip() if result else "no result"
        raise psycopg.OperationalError(reason or connection.get_error_message())
    return int(value)
