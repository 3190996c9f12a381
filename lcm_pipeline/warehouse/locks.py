"""The locks of the warehouse: what each one protects, and how it is taken.

Locks on tables protect what every sync needs. Whoever holds one may write to that table, so a login
for BI can take none of them; it dies with the transaction, and Postgres tells who holds it.

Advisory locks are held by a session over many transactions, as no lock on a table can be. Any login
can hold those too: whoever waits for one says who holds it. Ids of one number spell "lcm" and count
on; those of two numbers are a class and a member of it. Both are part of what processes of
different versions share: an id never changes its meaning.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier

# Publishes follow each other.
PUBLISH = "publish_lock"
# Refreshes of the marts follow each other.
REFRESH = "refresh_lock"
# A month's partition is made once.
PARTITIONS = "partitions_lock"
# The slots of LCM_MAX_IN_FLIGHT are shared out by one process at a time.
REQUEST_SLOTS = "request_slots_lock"

# One process migrates at a time. Held by the session.
MIGRATE = 0x6C636D01
# A run is worked on by one process: (RUN_CLASS, run_id), held by the session that owns the run.
RUN_CLASS = 0x6C636D
# One push at a time, held by the session that owns the push.
PUSH = (0x6C6370, 1)
# Stored rows are rewritten by one process at a time. Held by the session.
REWRITE = (0x6C6372, 1)
# A process may have requests in flight: (REQUEST_SLOTS_CLASS, server process), held by its session.
REQUEST_SLOTS_CLASS = 0x6C6373


@contextmanager
def alone(session: psycopg.Connection, *names: str) -> Iterator[None]:
    """Hold locks on tables for the length of a transaction, which this begins and ends.

    The transaction begins when the locks are free: now(), and the snapshot of a repeatable read,
    lie after what others wrote who held them. Raises LockNotAvailable after the session's
    lock_timeout. An autocommit session, outside of a transaction.
    """
    tables = SQL(", ").join(Identifier("sync", name) for name in names)
    statement = SQL("lock table {} in exclusive mode").format(tables)
    is_taken = False
    while not is_taken:
        try:
            with session.transaction():
                # Nothing before it, or the snapshot would be older than the lock.
                session.execute(statement + SQL(" nowait"))
                is_taken = True
                yield
        except psycopg.errors.LockNotAvailable:
            if is_taken:
                raise
            # Waited for in a transaction of its own, which has an older now().
            with session.transaction():
                session.execute(statement)


def hold(session: psycopg.Connection, name: str) -> None:
    """Hold a lock on a table to the end of the open transaction."""
    session.execute(SQL("lock table {} in exclusive mode").format(Identifier("sync", name)))
