"""Says for whom a statement waits, when it waits for a lock."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

import psycopg

from lcm_pipeline.model.texts import shown
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.queries import query

logger = logging.getLogger(__name__)

# A statement that takes longer may be at work; whether it waits is asked then.
_LOOK_AFTER_SECONDS = 5.0
_LONGEST_NAME = 60


class Blockers(NamedTuple):
    """Who holds what a session waits for, as people read it; empty for nobody."""

    text: str = ""


@contextmanager
def watching_for_locks(
    connect: Callable[[], psycopg.Connection], backend: Callable[[], int], waiter: str
) -> Iterator[list[Blockers]]:
    """Log for whom a session waits that has been at one thing for some seconds.

    connect: opens another session. backend: the server process of the session that may wait.
    waiter: its name in the log. Yields a list that then holds the blockers that were found.
    """
    found: list[Blockers] = []

    def look() -> None:
        # What cannot be found out is not worth an error of its own.
        with suppress(psycopg.Error, WarehouseUnavailableError), closing(connect()) as session:
            blockers = find_blockers(session, backend())
            if blockers.text:
                found.append(blockers)
                logger.warning(
                    "%s waits for a lock that is held by %s. It goes on when that transaction ends",
                    waiter,
                    blockers.text,
                )

    timer = threading.Timer(_LOOK_AFTER_SECONDS, look)
    timer.daemon = True
    timer.start()
    try:
        yield found
    finally:
        timer.cancel()


def find_blockers(session: psycopg.Connection, backend: int) -> Blockers:
    """Who holds what a server process waits for: process, user, application, since when (UTC)."""
    rows = session.execute(query("blockers_of"), {"pid": backend}).fetchall()
    told = []
    for pid, user, application, since in rows:
        name = shown(application, _LONGEST_NAME) or "without a name"
        moment = f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "an unknown time"
        told.append(
            f"server process {pid} (user {shown(str(user), _LONGEST_NAME)}, application {name},"
            f" since {moment})"
        )
    return Blockers("; ".join(told))
