"""The locks of the warehouse: what each one protects, and how it is taken.

No login that may only read can take one of them, or keep a sync, a push or a migration from taking
it; docs/adr/0008-an-owner-and-locks-of-writers.md has the reasons.

Locks on tables serialize processes. Only a login that may write to the table can take one; the lock
ends with the transaction, and Postgres reports which session holds it.

Session locks show what a live session works on, over many transactions. They are advisory locks,
which any login can hold. So no session ever waits for one: it takes any free key of a kind, and
only keys of sessions that may write count (`sync.session_locks`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from random import uniform
from secrets import randbelow
from time import sleep
from typing import Literal

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_value, query

# Serializes publishes.
PUBLISH = "publish_lock"
# Serializes refreshes of the marts.
REFRESH = "refresh_lock"
# Keeps two processes from creating the same partition.
PARTITIONS = "partitions_lock"
# Serializes the distribution of the slots of LCM_MAX_IN_FLIGHT.
REQUEST_SLOTS = "request_slots_lock"
# Serializes `try_exclusive`.
SESSION = "session_lock"

# run: the session works on the run of that id. push: it pushes. rewrite: it rewrites stored rows.
# requests: its row in sync.request_slots counts; the id is its server process.
Kind = Literal["run", "push", "requests", "rewrite"]
# The high bits of the first number of an advisory lock's key; the others are random. Processes of
# different versions share these, and sync.session_locks knows them: they never change.
_KINDS: dict[Kind, int] = {"run": 216, "push": 217, "requests": 218, "rewrite": 219}
_KEYS_PER_KIND = 2**23
# The id of a session lock that one session may have at a time.
EXCLUSIVE = 1
# Seconds between the end of a wait and the next try, at most.
_MAX_PAUSE = 0.02
# The server has room for some thousand locks, so an intruder cannot hold a share of the keys.
_MAX_TRIES = 100


@contextmanager
def exclusive(session: Session, *names: str) -> Iterator[None]:
    """Hold locks on tables for the length of a transaction, which this begins and ends.

    session: an autocommit session, outside a transaction. The transaction begins when the locks are
    free, so its now(), and the snapshot of a repeatable read, are later than what the previous
    holders wrote. Raises LockNotAvailable after the session's lock_timeout.
    """
    tables = SQL(", ").join(Identifier("sync", name) for name in names)
    is_taken = False
    while not is_taken:
        try:
            with session.transaction():
                # Nothing before it, or the snapshot would be older than the lock.
                session.execute(SQL("lock table {} in exclusive mode nowait").format(tables))
                is_taken = True
                yield
        except psycopg.errors.LockNotAvailable:
            if is_taken:
                raise
            # Wait in a separate transaction, as its now() is older than the lock. In row share mode
            # the waiting sessions do not conflict: in exclusive mode they passed the lock from one
            # to the next, and each found it taken again; eight syncs went on like this for minutes.
            with session.transaction():
                session.execute(SQL("lock table {} in row share mode").format(tables))
            # Spread the attempts of sessions that have waited for the same lock.
            sleep(uniform(0, _MAX_PAUSE))  # noqa: S311 - no secret


def hold(session: Session, name: str) -> None:
    """Hold a lock on a table until the end of the open transaction."""
    session.execute(SQL("lock table {} in exclusive mode").format(Identifier("sync", name)))


def hold_migrations(session: Session) -> None:
    """Make other migrations wait until the open transaction ends; readers are not blocked."""
    session.execute(query("lock_migrations"))


def acquire_session_lock(session: Session, kind: Kind, lock_id: int) -> None:
    """Take a session lock, which sync.session_locks shows until it is released or the session ends.

    Never waits.
    """
    for _ in range(_MAX_TRIES):
        key = _KINDS[kind] * _KEYS_PER_KIND + randbelow(_KEYS_PER_KIND)
        if fetch_value(session, "try_session_lock", {"key": key, "lock_id": lock_id}):
            return
    raise psycopg.OperationalError(f"every key of a session lock ({kind}) is held by others")


def try_exclusive(session: Session, kind: Kind) -> bool:
    """Take a session lock that one session may have at a time; returns whether it has it now.

    Never waits for the session that has it. Attempts are serialized, so that only one of two
    sessions that try at once gets it.
    """
    with session.transaction():
        hold(session, SESSION)
        if fetch_value(session, "is_held_elsewhere", {"kind": kind}):
            return False
        acquire_session_lock(session, kind, EXCLUSIVE)
        return True


def release_session_lock(session: Session, kind: Kind, lock_id: int) -> None:
    """Release what `acquire_session_lock` has taken, however often."""
    values = {"prefix": _KINDS[kind], "lock_id": lock_id}
    session.execute(query("release_session_locks"), values)
