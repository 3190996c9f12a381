"""How a sync or a push tells what it has done so far: to a bar on a terminal, or to a log."""

import logging
import time
from typing import Protocol

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 10.0


class Progress(Protocol):
    """Told how many of a feed's clients (or days, or profile updates) are done."""

    def start(self, feed: str, total: int, done: int) -> None:
        """A feed begins; `done` of it were done by an earlier process."""

    def advance(self, feed: str, count: int) -> None:
        """So many more are saved."""

    def finish(self, feed: str) -> None:
        """The feed is published; the push has settled all that it took."""


class LoggedProgress:
    """Says every ten seconds how far each feed is."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._said = time.monotonic()

    def start(self, feed: str, total: int, done: int) -> None:
        """Remember the total."""
        self._totals[feed], self._done[feed] = total, done

    def advance(self, feed: str, count: int) -> None:
        """Count, and say so from time to time."""
        self._done[feed] = self._done.get(feed, 0) + count
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            logger.info("%s: %s of %s done", feed, self._done[feed], self._totals.get(feed))

    def finish(self, feed: str) -> None:
        """Say the last count."""
        logger.info("%s: %s done", feed, self._done.get(feed, 0))
