"""Whether a connection pooler lends each transaction another session, which nothing here survives.

Runs and pushes are owned by advisory locks of a session, settings and prepared statements belong
to one. A pooler in transaction or statement mode hands the session on after each transaction, so
locks would leak to strangers and two processes could own one run.
"""

import selectors
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import psycopg

# A pooler gives out servers last in, first out, or in turn: asking A once, then B once, twice and
# three times lets one meet the other's server either way.
_ROUNDS = 6
# What a sync has open at once, and one to spare.
_SESSIONS_AT_ONCE = 6
_PATIENCE_SECONDS = 20.0
_BACKEND = b"select pg_backend_pid()"


class SharedSessionsError(Exception):
    """The pooler cannot be worked with; the message says why."""


def refuse_shared_sessions(
    session: psycopg.Connection, connect: Callable[[], psycopg.Connection]
) -> None:
    """Raise SharedSessionsError where a pooler does not give each client a session of its own.

    session: an autocommit session; connect opens another. Nothing is written or set. Without a
    pooler the server itself said at the start which backend serves the session, and it still does.
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
                    "it is behind a connection pooler that lends a session for one transaction"
                    " (pool_mode transaction or statement of PgBouncer), and locks that have to"
                    " last for a whole run would be lost. Set pool_mode = session for this"
                    " database, or connect to Postgres itself"
                )
        for _ in range(_SESSIONS_AT_ONCE - 2):
            _backend_of(opened.enter_context(closing(connect())))


def _backend_of(session: psycopg.Connection) -> int:
    """The server process behind a session, waited for so long that a full pool is noticed.

    A pooler keeps a client waiting for minutes, and would not let it cancel its statement either.
    """
    connection = session.pgconn
    connection.send_query(_BACKEND)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_READ)
        while connection.is_busy():
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SharedSessionsError(
                    "it is behind a connection pooler that had no further session for us within"
                    f" {_PATIENCE_SECONDS:.0f} s: a sync has up to {_SESSIONS_AT_ONCE} open at"
                    " once. Raise default_pool_size (or pool_size of the database) of PgBouncer,"
                    " or connect to Postgres itself"
                )
            connection.consume_input()
    result = connection.get_result()
    while connection.get_result() is not None:
        continue
    value = result.get_value(0, 0) if result is not None and result.ntuples else None
    if value is None:
        reason = result.error_message.decode("utf-8", "replace").strip() if result else "no answer"
        raise psycopg.OperationalError(reason or connection.get_error_message())
    return int(value)
