"""The engine: brings feeds of one window from the API into the warehouse, exactly.

It decides what a run has to read: the roster's clients, or registration days; `run` does the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.feeds import REGISTRATIONS, Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync import roster as days
from lcm_pipeline.sync.concurrency import ConcurrentSync, Settle
from lcm_pipeline.sync.context import OpenApi, RunContext, open_run_context
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.sync.roster import schedule_of
from lcm_pipeline.sync.run import SyncRun
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest import state, tasks
from lcm_pipeline.warehouse.ingest.runs import Run, RunLostError, acquire_run
from lcm_pipeline.warehouse.sessions import ReconnectingSession

AddTasks = Callable[[Session, Run], int]


@dataclass(frozen=True)
class SyncEngine:
    """Syncs feeds of one programme. Calls block until their window is published.

    They raise SyncError when the run stopped, psycopg.Error when the warehouse failed for good.
    open_api: makes the client of the API; another one may wait less between attempts.
    """

    settings: Settings
    warehouse: Warehouse
    progress: Progress = field(default_factory=LoggedProgress)
    open_api: OpenApi = LoyaltyApi.from_settings
    # Days that this engine has asked for: those that came to nothing are left to the next one.
    _polled: set[date] = field(default_factory=set, init=False, repr=False, compare=False)

    def sync(self, feed: Feed, window: Window) -> SyncReport:
        """Sync a feed for a window.

        The roster: poll the window, the look-back, and the days that were never polled. Any other
        feed: read every client registered by the end of the window.
        """
        if feed.is_by_day:
            to_poll = self._days(window, only_missing=False)
            return self._alone(partial(self._poll, window, to_poll))
        return self._alone(partial(self._sync_clients, feed, window))

    def begin(self, feeds: Sequence[Feed], window: Window) -> ConcurrentSync:
        """Begin to sync feeds of clients, each as above, all in the places of one; in a thread."""

        async def sync_all(settle: Settle) -> None:
            async with open_run_context(self.settings, self.open_api) as shared:
                await self._poll_missing(window, shared)
                syncing = []
                for feed in feeds:
                    report = self._sync_registered(feed, window, shared)
                    syncing.append(asyncio.ensure_future(settle(feed, report)))
                    shared = shared.for_next_feed()
                # Else the first that is cancelled would end it, and the others lose their loop.
                await asyncio.gather(*syncing, return_exceptions=True)

        return ConcurrentSync(feeds, window, sync_all)

    def read_again(self, feed: Feed, window: Window, client_ids: Sequence[int]) -> SyncReport:
        """Read some clients of a feed in full, whatever is known of them, and nobody else."""

        def add_tasks(session: Session, run: Run) -> int:
            return tasks.add_tasks_again(session, run, client_ids)

        return self._alone(partial(self._sync, feed, window, add_tasks))

    def _alone(self, sync: Callable[[RunContext], Awaitable[SyncReport]]) -> SyncReport:
        async def run() -> SyncReport:
            async with open_run_context(self.settings, self.open_api) as shared:
                return await sync(shared)

        return asyncio.run(run())

    async def _sync_clients(self, feed: Feed, window: Window, shared: RunContext) -> SyncReport:
        await self._poll_missing(window, shared)
        return await self._sync_registered(feed, window, shared)

    async def _sync_registered(self, feed: Feed, window: Window, shared: RunContext) -> SyncReport:
        schedule = schedule_of(self.settings)

        def add_tasks(session: Session, run: Run) -> int:
            return tasks.add_client_tasks(session, run, schedule)

        return await self._sync(feed, window, add_tasks, shared)

    async def _poll_missing(self, window: Window, shared: RunContext) -> None:
        """Poll the days that were never polled; those that come to nothing stay pending."""
        missing = await run_in_thread(partial(self._days, window, only_missing=True))
        if to_poll := [day for day in missing if day not in self._polled]:
            await self._poll(window, to_poll, shared)

    async def _poll(
        self, window: Window, to_poll: Sequence[date], shared: RunContext
    ) -> SyncReport:
        def add_tasks(session: Session, run: Run) -> int:
            return tasks.add_day_tasks(session, run, to_poll)

        unordered = shared.unordered()
        report = await self._sync(REGISTRATIONS, window, add_tasks, unordered)
        self._polled.update(to_poll)
        return report

    def _days(self, window: Window, *, only_missing: bool) -> list[date]:
        with ReconnectingSession(self.warehouse, "lcm roster") as reconnecting:
            first_polled = reconnecting.run(state.first_polled_day)
            begins = days.first_day(self.settings, window, first_polled)
            polled = reconnecting.run(lambda s: state.polled_days(s, begins, window.last))
            pending = reconnecting.run(lambda s: state.pending_days(s, begins, window.last))
        if only_missing:
            return days.missing_days(begins, window, polled)
        return days.days_to_poll(begins, window, polled - pending, self.settings)

    async def _sync(
        self, feed: Feed, window: Window, add_tasks: AddTasks, shared: RunContext
    ) -> SyncReport:
        with ReconnectingSession(self.warehouse, f"lcm sync {feed.name}") as reconnecting:
            try:
                own = partial(acquire_run, reconnecting, feed.name, window)
                run = await run_in_thread(own, cancel_session=reconnecting)
                work = SyncRun(self.settings, self.progress, shared, feed, run, reconnecting)
                await work.begin(add_tasks)
                await work.complete()
            except RunLostError as taken:
                raise SyncError(str(taken)) from taken
            finally:
                shared.all_dispatched.set()
            return await work.report()
