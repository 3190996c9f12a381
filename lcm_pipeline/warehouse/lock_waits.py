"""Reports which sessions block a statement that waits for a lock."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

from lcm_pipeline.model.texts import shorten
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.errors import WarehouseLockedError, WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import query

logger = logging.getLogger(__name__)

# A statement may take longer than this without waiting for a lock, so only then it is checked.
_CHECK_AFTER_SECONDS = 5.0
_LONGEST_NAME = 60
_INTERVAL_SECONDS = 0.2


@contextmanager
def watching_for_locks(
    connect: Callable[[], Session], backend: Callable[[], int], waiter: str
) -> Iterator[list[str]]:
    """Log which sessions block a session whose statement has run for some seconds.

    connect: opens another session. backend: returns the server process of the session that may
    wait. waiter: its name in the log. Yields a list, to which the blockers are added once found.
    """
    found: list[str] = []

    def check() -> None:
        # This only explains a wait, so its own failure must not fail the statement.
        with suppress(psycopg.Error, WarehouseUnavailableError), closing(connect()) as session:
            waited_for = session.execute(query("blockers_of"), {"pid": backend()}).fetchall()
            if blockers := _described(waited_for):
                found.append(blockers)
                logger.warning(
                    "%s waits for a lock that is held by %s. It continues when that transaction"
                    " ends",
                    waiter,
                    blockers,
                )

    timer = threading.Timer(_CHECK_AFTER_SECONDS, check)
    timer.daemon = True
    timer.start()
    try:
        yield found
    finally:
        timer.cancel()


def wait_exclusive(session: Session, kind: locks.Kind, waiter: str, seconds: float) -> None:
    """Take a session lock that one session may have at a time; waits while another one has it.

    Logs which session that is, after a few seconds. waiter: the name of this session in the log.
    Raises WarehouseLockedError after `seconds`.
    """
    began, is_reported = time.monotonic(), False
    while not locks.try_exclusive(session, kind):
        waited = time.monotonic() - began
        if waited > seconds or (waited > _CHECK_AFTER_SECONDS and not is_reported):
            rows = session.execute(query("holders_of_kind"), {"kind": kind}).fetchall()
            holders = _described(rows)
            if waited > seconds:
                raise WarehouseLockedError(waiter, holders or "another session")
            if holders:
                logger.warning("%s waits for %s. It continues when that ends", waiter, holders)
                is_reported = True
        time.sleep(_INTERVAL_SECONDS)


def _described(rows: Sequence[TupleRow]) -> str:
    """Each session: process, user, application, and when its transaction began; "" for none."""
    blockers = []
    for pid, user, application, since in rows:
        name = shorten(application, _LONGEST_NAME) or "without a name"
        moment = f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "an unknown time"
        blockers.append(
            f"server process {pid} (user {shorten(str(user), _LONGEST_NAME)}, application {name},"
            f" since {moment})"
        )
    return "; ".join(blockers)
