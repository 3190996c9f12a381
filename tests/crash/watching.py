"""A reader on a session of its own that looks all the time, whatever is killed around it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lcm_pipeline.warehouse.connection import Warehouse
from tests.crash.contents import digest, torn_clients

# What a first load in batches tells its readers: the rows of a feed are not all there.
_TOLD_OF = """
select feed from sync.day_completeness
group by feed having not bool_or(is_complete) and max(complete_through) is null
"""


class Watcher:
    """Remembers every state that it saw: digests of some tables, torn clients, slow answers.

    A state of which the completeness says, in the same moment, that no day of it is complete is
    what a first load in batches shows; it is none that anybody takes for whole.
    """

    def __init__(self, warehouse: Warehouse, tables: dict[str, list[str]], pause: float) -> None:
        self.seen: dict[str, set[str]] = {feed: set() for feed in tables}
        self.partial: set[str] = set()
        self.torn = 0
        self.looks = 0
        self.slowest = 0.0
        self._warehouse = warehouse
        self._tables = tables
        self._pause = pause
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_ending.is_set():
            try:
                with self._warehouse.connect(autocommit=True) as session:
                    while not self._is_ending.wait(self._pause):
                        self._look(session)
            except psycopg.Error:
                self._is_ending.wait(0.05)

    def _look(self, session: psycopg.Connection) -> None:
        """One statement is of one moment, and so is one transaction at repeatable read."""
        began = time.monotonic()
        with session.transaction():
            session.execute("set transaction isolation level repeatable read")
            told = {row[0] for row in session.execute(_TOLD_OF).fetchall()}
            for feed, tables in self._tables.items():
                if feed in told:
                    self.partial.add(feed)
                else:
                    self.seen[feed].add(digest(session, tables))
            self.torn += torn_clients(session)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.looks += 1


@contextmanager
def watching(
    warehouse: Warehouse, tables: dict[str, list[str]], *, pause: float = 0.01
) -> Iterator[Watcher]:
    """Watch for the length of the context."""
    watcher = Watcher(warehouse, tables, pause)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
