"""Rewrites of stored rows, which exclude syncs, pushes and one another.

`lcm forget`, `lcm pseudonymize`, and a sync that begins to use a new key, change rows that a sync
or a push may have read and would write back. They do not start while one is running, and wait for
another rewrite.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.errors import WarehouseLockedError
from lcm_pipeline.warehouse.lock_waits import watching_for_locks
from lcm_pipeline.warehouse.queries import query

# Each attempt ends after the lock_timeout of the session, 5 minutes, and logs who holds the lock.
_ATTEMPTS = 7


class BusyError(UserError):
    """A sync or a push is running, which might write back what is erased or rewritten."""


@contextmanager
def one_rewrite_at_a_time(warehouse: Warehouse, session: Session, waiter: str) -> Iterator[None]:
    """Hold the lock of rewrites; waits for another rewrite, and logs which session runs it.

    session: an autocommit session. waiter: its name in the log. Raises WarehouseLockedError when
    another rewrite does not end for half an hour.
    """
    _lock(warehouse, session, waiter)
    try:
        yield
    finally:
        # The lock of a push first, or the next rewrite could mistake this process for a push.
        with suppress(psycopg.Error):
            for lock_class, lock_id in (locks.PUSH, locks.REWRITE):
                values = {"lock_class": lock_class, "lock_id": lock_id}
                session.execute(query("unlock_if_held"), values)


def require_quiet(session: Session) -> None:
    """Raise BusyError while a sync or a push is running; none can start while locks are held.

    A running sync would write back what it has read. From then on the session holds the lock of a
    push, until `one_rewrite_at_a_time` releases it.
    """
    values = {"lock_class": locks.RUN_CLASS, "quiet": 0}
    syncing = session.execute(query("is_syncing"), values).fetchone()
    push_free = session.execute("select pg_try_advisory_lock(%s, %s)", locks.PUSH).fetchone()
    if (syncing and syncing[0]) or not (push_free and push_free[0]):
        raise BusyError(
            "A sync or a push is under way, and might bring back what is taken away here. Nothing"
            " was changed: run the command again once it has ended"
        )


def _lock(warehouse: Warehouse, session: Session, waiter: str) -> None:
    row = session.execute("select pg_backend_pid()").fetchone()
    backend = int(row[0]) if row else 0

    def watch() -> psycopg.Connection:
        return warehouse.connect(autocommit=True, application_name=f"{waiter} (watch)")

    for attempt in range(1, _ATTEMPTS + 1):
        with watching_for_locks(watch, lambda: backend, waiter) as blockers:
            try:
                session.execute("select pg_advisory_lock(%s, %s)", locks.REWRITE)
            except psycopg.errors.LockNotAvailable as error:
                if attempt == _ATTEMPTS:
                    holder = blockers[-1].text if blockers else "another session"
                    raise WarehouseLockedError(waiter, holder) from error
            else:
                return
