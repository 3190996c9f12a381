"""The engine: syncs feeds for a window from the API into the warehouse.

It decides what a run has to read, the clients of the roster or registration days, and `sync.run`
executes it: in one call, or as start, read and publish in separate processes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import TypeVar

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.feeds import REGISTRATIONS, Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync import roster
from lcm_pipeline.sync.concurrency import Complete, ConcurrentSync
from lcm_pipeline.sync.context import OpenApi, RunContext, open_run_context
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.feed_runs import FeedRuns, SyncRequest
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.report import ReaderReport, SyncReport
from lcm_pipeline.sync.run import report_of
from lcm_pipeline.sync.shared_limits import priority_of
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest import runs, state, tasks
from lcm_pipeline.warehouse.ingest.runs import Run, RunLostError
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys
from lcm_pipeline.warehouse.sessions import ReconnectingSession

ResultT = TypeVar("ResultT")


@dataclass
class SyncEngine:
    """Syncs feeds of one programme. Calls block until they are done, except `begin_concurrent`.

    An engine remembers the registration days that it has polled: make one for each command.

    Raises SyncError when a run stopped, psycopg.Error when the warehouse failed for good.
    open_api: builds the API client; tests pass one that waits less between attempts.

    command_id, of any call: the command that the call belongs to, see `begin_command`. A feed that
    an unfinished command has published is not read again; the call returns the report of that run.
    """

    settings: Settings
    warehouse: Warehouse
    progress: Progress = field(default_factory=LoggedProgress)
    open_api: OpenApi = LoyaltyApi.from_settings
    # Days that this engine has polled. Those that failed are left to the next sync.
    _polled: set[date] = field(default_factory=set, init=False, repr=False, compare=False)

    def begin_command(self, feeds: Sequence[Feed], window: Window) -> int:
        """Resume the unfinished command of these feeds and window, or begin one; returns its id."""
        names = [feed.name for feed in feeds]
        with ReconnectingSession(self.warehouse, "lcm sync") as reconnecting:
            return reconnecting.run(lambda s: runs.begin_command(s, names, window))

    def reports(self, command_id: int, window: Window, *, since: datetime) -> list[SyncReport]:
        """The reports of a command, one per feed, from the warehouse.

        since: when this call of the command began (aware); the seconds of its runs start there.
        """
        with ReconnectingSession(self.warehouse, "lcm sync") as reconnecting:
            found = reconnecting.run(lambda s: runs.runs_of_command(s, command_id, window))
            return [
                report_of(
                    run,
                    reconnecting.run(partial(runs.read_counts, run=run)),
                    max(0.0, (ended - max(since, started)).total_seconds()),
                )
                for run, started, ended in found
            ]

    def sync(self, feed: Feed, window: Window, *, command_id: int | None = None) -> SyncReport:
        """Sync a feed for a window.

        The roster: poll the window, the look-back, and the days that were never polled. Any other
        feed: read every client registered by the end of the window.
        """
        request = SyncRequest(feed, window, command_id)

        async def sync(context: RunContext) -> SyncReport:
            if feed.is_by_day:
                return await self._poll(request, context)
            await self._poll_missing(window, context, command_id)
            return await self._sync(request, self._add_client_tasks, context)

        return self._run_in_context(window, sync)

    def begin_concurrent(
        self, feeds: Sequence[Feed], window: Window, *, command_id: int | None = None
    ) -> ConcurrentSync:
        """Begin to sync client feeds concurrently, in a thread; they share one set of slots."""

        async def sync_all(complete: Complete) -> None:
            async with self._open_context(window) as context:
                await self._poll_missing(window, context, command_id)
                syncing = []
                for feed in feeds:
                    request = SyncRequest(feed, window, command_id)
                    report = self._sync(request, self._add_client_tasks, context)
                    syncing.append(asyncio.ensure_future(complete(feed, report)))
                    context = context.for_next_feed()
                # Without return_exceptions the first error would end the loop under the others.
                await asyncio.gather(*syncing, return_exceptions=True)

        return ConcurrentSync(feeds, window, sync_all)

    def start(self, feed: Feed, window: Window, *, command_id: int | None = None) -> None:
        """The first verb: begin a run of a client feed, add its tasks, and leave the run.

        Does nothing when the command has already published the feed.
        """

        async def start(context: RunContext) -> None:
            await self._poll_missing(window, context, command_id)
            with self._open_runs(SyncRequest(feed, window, command_id)) as feed_runs:
                is_under_way = False
                while not is_under_way:
                    if feed_runs.find_published() is not None:
                        return
                    run = feed_runs.begin(context)
                    is_under_way = await run.start(self._add_client_tasks)
                    run.leave()

        self._run_in_context(window, start)

    def read(self, feed: Feed, window: Window) -> ReaderReport:
        """The second verb, for any number of processes: claim tasks and read them.

        Returns when no task of the run is left, its own or another reader's.
        """

        async def read(context: RunContext) -> ReaderReport:
            with self._open_runs(SyncRequest(feed, window)) as feed_runs:
                run = feed_runs.join(context)
                if run is None:
                    return ReaderReport(feed.name, window)
                async with run.recording_failure():
                    try:
                        await run.read()
                    except RunLostError as lost:
                        # Published by another process, which read the last tasks itself.
                        if lost.status != "published":
                            raise
                    else:
                        run.leave()
                return run.reader_report()

        return self._run_in_context(window, read)

    def publish(self, feed: Feed, window: Window, *, command_id: int | None = None) -> SyncReport:
        """The third verb: read the tasks that are left, then publish the run."""

        async def publish(context: RunContext) -> SyncReport:
            with self._open_runs(SyncRequest(feed, window, command_id)) as feed_runs:
                run = feed_runs.join(context)
                if run is None:
                    report = feed_runs.find_published()
                    if report is None:
                        raise SyncError(
                            f"{feed.name}: no run was begun for {window}, or another process has"
                            " published it: run the same command again"
                        )
                    return report
                async with run.recording_failure():
                    await run.read()
                    await run.publish()
                return await run.report()

        return self._run_in_context(window, publish)

    def read_again(self, feed: Feed, window: Window, client_ids: Sequence[int]) -> SyncReport:
        """Read the given clients of a feed in full, whatever is known of them, and no others."""

        def add_tasks(session: Session, run: Run) -> None:
            tasks.add_reread_tasks(session, run, client_ids)

        return self._run_in_context(
            window, partial(self._sync, SyncRequest(feed, window), add_tasks)
        )

    def _run_in_context(
        self, window: Window, work: Callable[[RunContext], Awaitable[ResultT]]
    ) -> ResultT:
        async def run() -> ResultT:
            async with self._open_context(window) as context:
                return await work(context)

        return asyncio.run(run())

    def _open_context(self, window: Window) -> AbstractAsyncContextManager[RunContext]:
        use_keys(self.warehouse, self.settings)
        priority = priority_of(window, self.settings)
        return open_run_context(self.settings, self.open_api, self.warehouse, priority)

    @contextmanager
    def _open_runs(self, request: SyncRequest) -> Iterator[FeedRuns]:
        name = f"lcm sync {request.feed.name}"
        with ReconnectingSession(self.warehouse, name) as reconnecting:
            yield FeedRuns(request, self.settings, self.progress, reconnecting)

    def _add_client_tasks(self, session: Session, run: Run) -> None:
        tasks.add_client_tasks(session, run, roster.schedule_of(self.settings))

    async def _poll_missing(
        self, window: Window, context: RunContext, command_id: int | None
    ) -> None:
        """Poll the days that were never polled; those that fail stay pending."""
        request = SyncRequest(REGISTRATIONS, window, command_id)
        missing = await run_in_thread(partial(self._missing_days, request))
        if missing:
            # Not as the run of the command, which is to poll the days of the window again.
            await self._poll(SyncRequest(REGISTRATIONS, window), context, days=missing)

    def _missing_days(self, request: SyncRequest) -> list[date]:
        with self._open_runs(request) as feed_runs:
            if feed_runs.find_published() is not None:
                return []
            begins, polled, _ = self._known_days(feed_runs.reconnecting, request.window)
        missing = roster.missing_days(begins, request.window, polled)
        return [day for day in missing if day not in self._polled]

    async def _poll(
        self, request: SyncRequest, context: RunContext, *, days: Sequence[date] | None = None
    ) -> SyncReport:
        """Poll the given days, or by default those that a sync of the roster polls."""
        if days is None:
            days = await run_in_thread(partial(self._days_to_poll, request))

        def add_tasks(session: Session, run: Run) -> None:
            tasks.add_day_tasks(session, run, days)

        report = await self._sync(request, add_tasks, context.unordered())
        self._polled.update(days)
        return report

    def _days_to_poll(self, request: SyncRequest) -> list[date]:
        window = request.window
        with self._open_runs(request) as feed_runs:
            begins, polled, pending = self._known_days(feed_runs.reconnecting, window)
        return roster.days_to_poll(begins, window, polled - pending, self.settings)

    def _known_days(
        self, reconnecting: ReconnectingSession, window: Window
    ) -> tuple[date, set[date], set[date]]:
        """The first day of the roster, the days that were polled, and those that are pending."""
        begins = roster.first_day(self.settings, window, reconnecting.run(state.first_polled_day))
        polled = reconnecting.run(lambda s: state.polled_days(s, begins, window.last))
        pending = reconnecting.run(lambda s: state.pending_days(s, begins, window.last))
        return begins, polled, pending

    async def _sync(
        self, request: SyncRequest, add_tasks: tasks.AddTasks, context: RunContext
    ) -> SyncReport:
        with self._open_runs(request) as feed_runs:
            cancel_session = feed_runs.reconnecting
            try:
                await context.wait_to_prepare()
                while True:
                    published = await run_in_thread(
                        feed_runs.find_published, cancel_session=cancel_session
                    )
                    if published is not None:
                        return published
                    run = await run_in_thread(
                        partial(feed_runs.begin, context), cancel_session=cancel_session
                    )
                    async with run.recording_failure():
                        if await run.start(add_tasks):
                            await run.read()
                            await run.publish()
                            return await run.report()
                    # Another process ended the run before the tasks were added.
                    await run_in_thread(run.leave)
            finally:
                # Also after an error: the next feed waits for these events.
                context.is_prepared.set()
                context.all_dispatched.set()
