"""Rewrites of stored rows, which exclude syncs, pushes and one another.

`lcm forget`, `lcm pseudonymize`, and a sync that begins to use a new key, change rows that a sync
or a push may have read and would write back. They do not start while one is running, and wait for
another rewrite.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.waiting import wait_until
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.lock_waits import wait_exclusive
from lcm_pipeline.warehouse.queries import fetch_value

_MAX_SECONDS = 35 * 60.0
_PATIENCE_SECONDS = 1.0


class BusyError(UserError):
    """A sync or a push is running, which might write back what is erased or rewritten."""


@contextmanager
def one_rewrite_at_a_time(session: Session, waiter: str) -> Iterator[None]:
    """Hold the lock of rewrites; waits for another rewrite, and logs which session runs it.

    session: an autocommit session. waiter: its name in the log. Raises WarehouseLockedError when
    another rewrite does not end for half an hour.
    """
    wait_exclusive(session, "rewrite", waiter, _MAX_SECONDS)
    try:
        yield
    finally:
        # The lock of a push first, or the next rewrite could mistake this process for a push.
        with suppress(psycopg.Error):
            locks.release_session_lock(session, "push", locks.EXCLUSIVE)
            locks.release_session_lock(session, "rewrite", locks.EXCLUSIVE)


def require_quiet(session: Session) -> None:
    """Raise BusyError while a sync or a push is running; none can start while locks are held.

    A running sync would write back what it has read. From then on the session holds the lock of a
    push, until `one_rewrite_at_a_time` releases it.
    """
    # The server process of a sync that has just ended holds its locks for a moment longer.
    if not wait_until(lambda: _is_quiet(session), within=_PATIENCE_SECONDS):
        raise BusyError(
            "A sync or a push is under way, and might write back what this command removes."
            " Nothing was changed: run the command again once it has ended"
        )


def _is_quiet(session: Session) -> bool:
    is_syncing = fetch_value(session, "is_syncing", {"quiet": 0})
    return not is_syncing and locks.try_exclusive(session, "push")
