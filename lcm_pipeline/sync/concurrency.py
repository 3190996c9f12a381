"""Several feeds synced at once, in a thread of their own, each waited for when it is wanted.

So a caller that takes the feeds one by one, as Dagster's steps do, notes the first one's days and
refreshes the marts on it while the others are still being read. A feed fails
for whoever waits for it, and for nobody else.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.report import SyncReport

Settle = Callable[[Feed, Awaitable[SyncReport]], Awaitable[None]]
SyncAll = Callable[[Settle], Awaitable[None]]


class ConcurrentSync:
    """Feeds that are being synced. Close it: what is still being read is broken off then."""

    def __init__(self, feeds: Sequence[Feed], window: Window, sync_all: SyncAll) -> None:
        self._window = window
        self._untaken = {feed.name for feed in feeds}
        self._reports: dict[str, Future[SyncReport]] = {feed.name: Future() for feed in feeds}
        self._sync_all = sync_all
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._main, name="lcm sync", daemon=True)
        self._thread.start()

    def takes(self, feed: Feed, window: Window) -> bool:
        """Whether the feed is synced here for that window, and its report was not asked for yet."""
        return window == self._window and feed.name in self._untaken

    def report(self, feed: Feed) -> SyncReport:
        """Wait until the feed is published; raises what stood in its way."""
        self._untaken.discard(feed.name)
        return self._reports[feed.name].result()

    def close(self) -> None:
        """Break off what is under way, and return when nothing is."""
        self._has_begun.wait()
        if self._running is not None:
            loop, task = self._running
            with suppress(RuntimeError):  # the loop is closed: all is done
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join()

    def _main(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._run())
        finally:
            self._has_begun.set()

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.run runs a task
        self._running = asyncio.get_running_loop(), task
        self._has_begun.set()
        try:
            await self._sync_all(self._settle)
        except BaseException as error:
            self._fail_the_rest(error)
            if not isinstance(error, Exception):
                raise

    async def _settle(self, feed: Feed, syncing: Awaitable[SyncReport]) -> None:
        try:
            self._reports[feed.name].set_result(await syncing)
        except Exception as error:  # noqa: BLE001 - whoever waits for the feed raises it
            self._reports[feed.name].set_exception(error)

    def _fail_the_rest(self, error: BaseException) -> None:
        for report in self._reports.values():
            if not report.done():
                report.set_exception(error)
