"""Several feeds synced concurrently in a background thread, each with a report to wait for.

A caller that takes the feeds one by one, as Dagster's steps do, records the days of the first feed
and refreshes its marts while the others are still being read. An error of a feed is raised to the
caller that waits for that feed.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.report import SyncReport

logger = logging.getLogger(__name__)

# A cancelled statement ends within milliseconds. Less than the time in which systemd (90 s) and
# Kubernetes (30 s) kill a process that does not end.
_PATIENCE_SECONDS = 5.0
_GIVE_UP_SECONDS = 15.0

Complete = Callable[[Feed, Awaitable[SyncReport]], Awaitable[None]]
SyncAll = Callable[[Complete], Awaitable[None]]


class ConcurrentSync:
    """Feeds that are being synced. `close` cancels those that are still being read."""

    def __init__(self, feeds: Sequence[Feed], window: Window, sync_all: SyncAll) -> None:
        self._window = window
        self._untaken = {feed.name for feed in feeds}
        self._reports: dict[str, Future[SyncReport]] = {feed.name: Future() for feed in feeds}
        self._sync_all = sync_all
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._main, name="lcm sync", daemon=True)
        self._thread.start()

    def has_report_for(self, feed: Feed, window: Window) -> bool:
        """Whether the feed is synced here for that window, and its report was not taken yet."""
        return window == self._window and feed.name in self._untaken

    def report(self, feed: Feed) -> SyncReport:
        """Wait until the feed is published; raises the error that stopped it."""
        self._untaken.discard(feed.name)
        return self._reports[feed.name].result()

    def close(self) -> None:
        """Cancel what is still running, and return when the thread has finished.

        Leaves the thread behind if the database does not respond for 20 seconds: the server rolls
        back what was not committed, and the next run continues from what was.
        """
        self._has_begun.wait()
        if self._running is not None:
            loop, task = self._running
            with suppress(RuntimeError):  # the loop is closed: all is done
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            logger.warning(
                "stopping: the database has not responded for %d seconds; waiting %d more",
                _PATIENCE_SECONDS, _GIVE_UP_SECONDS,
            )  # fmt: skip
            self._thread.join(_GIVE_UP_SECONDS)

    def _main(self) -> None:
        try:
            with suppress(asyncio.CancelledError), asyncio.Runner() as runner:
                # Raises OSError where there is no file descriptor left for a loop.
                runner.get_loop()
                runner.run(self._run())
        except Exception as error:  # noqa: BLE001 - `report` raises it
            self._fail(error)
        finally:
            self._has_begun.set()

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.run runs a task
        self._running = asyncio.get_running_loop(), task
        self._has_begun.set()
        try:
            await self._sync_all(self._complete)
        except BaseException as error:
            self._fail(error)
            # A cancellation has to reach asyncio.run; any other error is raised by `report`.
            if not isinstance(error, Exception):
                raise

    def _fail(self, error: BaseException) -> None:
        """Give the error to callers that may wait for a report that will never come."""
        for report in self._reports.values():
            if not report.done():
                report.set_exception(error)

    async def _complete(self, feed: Feed, syncing: Awaitable[SyncReport]) -> None:
        try:
            self._reports[feed.name].set_result(await syncing)
        except Exception as error:  # noqa: BLE001 - `report` raises it
            self._reports[feed.name].set_exception(error)
