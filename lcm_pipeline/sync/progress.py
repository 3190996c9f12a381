"""How a sync or a push reports its progress: to a bar on a terminal, or to a log."""

import logging
import time
from collections import Counter
from typing import Protocol

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 10.0


class Progress(Protocol):
    """Receives how many of a feed's clients (or days, or profile updates) are done.

    A feed need not be started: a reader in a process of its own, or a process that publishes what
    others have read, does not know what there is to read. Then there is no total to show.
    """

    def start(self, feed: str, total: int, done: int) -> None:
        """A feed begins, or begins anew; `done` of it were done by an earlier process."""

    def advance(self, feed: str, count: int) -> None:
        """`count` more are saved."""

    def fail(self, feed: str, count: int) -> None:
        """`count` more could not be read, or were not proven: they stay pending."""

    def finish(self, feed: str) -> None:
        """The feed is published, or the push has completed all updates that it took."""


class LoggedProgress:
    """Logs the progress of each feed, every ten seconds."""

    def __init__(self) -> None:
        self._done = Counter[str]()
        self._failed = Counter[str]()
        self._totals: dict[str, int] = {}
        self._logged_at = time.monotonic()

    def start(self, feed: str, total: int, done: int) -> None:
        """Record the total."""
        self._totals[feed], self._done[feed], self._failed[feed] = total, done, 0

    def advance(self, feed: str, count: int) -> None:
        """Count, and log from time to time."""
        self._done[feed] += count
        self._log_sometimes(feed)

    def fail(self, feed: str, count: int) -> None:
        """Count, and log from time to time."""
        self._failed[feed] += count
        self._log_sometimes(feed)

    def finish(self, feed: str) -> None:
        """Log the final count; of a feed that other processes have read, only that it ended."""
        if feed not in self._totals:
            logger.info("%s: done", feed)
            return
        logger.info("%s: %s done%s", feed, self._counted(feed), self._pending(feed))

    def _log_sometimes(self, feed: str) -> None:
        if time.monotonic() - self._logged_at >= _EVERY_SECONDS:
            self._logged_at = time.monotonic()
            # A reader in a process of its own knows what it has read, not what there is to read.
            known = feed in self._totals
            counted = f" of {self._totals[feed]} done" if known else " done by this reader"
            logger.info("%s: %s%s%s", feed, self._counted(feed), counted, self._pending(feed))

    def _counted(self, feed: str) -> int:
        if feed not in self._totals:
            return self._done[feed]
        # A reading that was lost with the database's memory, or is in doubt, is done twice.
        return max(0, min(self._done[feed], self._totals[feed] - self._failed[feed]))

    def _pending(self, feed: str) -> str:
        return f", {self._failed[feed]} pending" if self._failed[feed] else ""
