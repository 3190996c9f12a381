"""A reader with its own session that polls continuously while other processes write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.errors import LockNotAvailable

from lcm_pipeline.warehouse.connection import Warehouse
from tests.crash.contents import digest, torn_clients

# Feeds that a first load in batches reports as incomplete to readers.
_INCOMPLETE_FEEDS = """
select feed from sync.day_completeness
group by feed having not bool_or(is_complete) and max(complete_through) is null
"""


class Watcher:
    """Records every state that it saw: digests of some tables, torn clients.

    locked_out: how often it would have waited for a lock; it does not wait.
    States of a feed that has no complete day at the same moment are not recorded: a first load in
    batches shows them, and no reader would take them for complete.
    """

    def __init__(self, warehouse: Warehouse, tables: dict[str, list[str]], pause: float) -> None:
        self.seen: dict[str, set[str]] = {feed: set() for feed in tables}
        self.partial: set[str] = set()
        self.torn = 0
        self.readings = 0
        self.locked_out = 0
        self._warehouse = warehouse
        self._tables = tables
        self._pause = pause
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling."""
        self._is_ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_ending.is_set():
            try:
                with self._warehouse.connect(autocommit=True) as session:
                    session.execute("set lock_timeout = '1ms'")
                    while not self._is_ending.wait(self._pause):
                        self._read_once(session)
            except LockNotAvailable:
                self.locked_out += 1
            except psycopg.Error:
                self._is_ending.wait(0.05)

    def _read_once(self, session: psycopg.Connection) -> None:
        """Read once, in a transaction at repeatable read, so that all is of one moment."""
        with session.transaction():
            session.execute("set transaction isolation level repeatable read")
            incomplete = {row[0] for row in session.execute(_INCOMPLETE_FEEDS).fetchall()}
            for feed, tables in self._tables.items():
                if feed in incomplete:
                    self.partial.add(feed)
                else:
                    self.seen[feed].add(digest(session, tables))
            self.torn += torn_clients(session)
        self.readings += 1


@contextmanager
def watching(
    warehouse: Warehouse, tables: dict[str, list[str]], *, pause: float = 0.01
) -> Iterator[Watcher]:
    """Watch a warehouse for the length of the context."""
    watcher = Watcher(warehouse, tables, pause)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
