"""The engine: brings one feed of one window from the API into the warehouse, exactly.

Enlist what is to be read, read it with many calls in flight, hold the largest single page against
its end, publish in one transaction, and read again what the publish could not take.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from lcm_pipeline.loyalty_api.client import LoyaltyApi
from lcm_pipeline.loyalty_api.errors import LoyaltyApiError
from lcm_pipeline.model.readings import Assignment, Outcome
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync import roster as days
from lcm_pipeline.sync.clients import read_assigned_client
from lcm_pipeline.sync.errors import SyncFailed
from lcm_pipeline.sync.fan_out import FanOut
from lcm_pipeline.sync.feeds import (
    FAVOURITES,
    LEADS,
    OPERATIONS,
    REGISTRATIONS,
    Feed,
    ReadAssignment,
)
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.reading import PagingHabits, Unproven
from lcm_pipeline.sync.registrations import read_registration_day
from lcm_pipeline.sync.reports import SyncReport
from lcm_pipeline.sync.source import Source
from lcm_pipeline.warehouse import ledger, roster
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.publish import DeleteFuseBlown, publish
from lcm_pipeline.warehouse.runs import Run, RunTaken, end_run, own_run, read_counts
from lcm_pipeline.warehouse.sessions import LastingSession

_CHUNK = 1_000
_MOST_ROUNDS = 5

Enlist = Callable[[Session, Run], int]


@dataclass(frozen=True)
class SyncEngine:
    """Syncs feeds of one programme. Blocking: each call returns when its window is published.

    Calls raise SyncFailed when the run stopped, psycopg.Error when the warehouse failed for good.
    open_api: makes the client of the API for a run; another one may wait less between attempts.
    """

    settings: Settings
    warehouse: Warehouse
    progress: Progress = field(default_factory=LoggedProgress)
    open_api: Callable[[Settings], LoyaltyApi] = LoyaltyApi.from_settings

    def sync_registrations(self, window: Window) -> SyncReport:
        """Poll who registered: the window, the look-back, and what was never polled."""
        return self._poll(window, self._days(window, only_missing=False))

    def sync_operations(self, window: Window) -> SyncReport:
        """Read the operations of every client registered by the end of the window."""
        return self._sync_clients(OPERATIONS, window)

    def sync_leads(self, window: Window) -> SyncReport:
        """Read the leads of every client registered by the end of the window."""
        return self._sync_clients(LEADS, window)

    def sync_favourites(self, window: Window) -> SyncReport:
        """Read the favourite products of every client registered by the end of the window."""
        return self._sync_clients(FAVOURITES, window)

    def _sync_clients(self, feed: Feed, window: Window) -> SyncReport:
        if missing := self._days(window, only_missing=True):
            self._poll(window, missing)
        share = self.settings.audit_share

        def enlist(session: Session, run: Run) -> int:
            return ledger.enlist_clients(session, run, share)

        return self._sync(feed, window, enlist, read_assigned_client)

    def _poll(self, window: Window, to_poll: Sequence[date]) -> SyncReport:
        def enlist(session: Session, run: Run) -> int:
            return ledger.enlist_days(session, run, to_poll)

        return self._sync(REGISTRATIONS, window, enlist, read_registration_day)

    def _days(self, window: Window, *, only_missing: bool) -> list[date]:
        with LastingSession(self.warehouse, "lcm roster") as lasting:
            first_polled = lasting.run(roster.first_polled_day)
            begins = days.first_day(self.settings, window, first_polled)
            polled = lasting.run(lambda s: roster.polled_days(s, begins, window.last))
        if only_missing:
            return days.missing_days(begins, window, polled)
        return days.days_to_poll(begins, window, polled, self.settings)

    def _sync(self, feed: Feed, window: Window, enlist: Enlist, read: ReadAssignment) -> SyncReport:
        started = time.monotonic()
        with LastingSession(self.warehouse, f"lcm sync {feed.name}") as lasting:
            try:
                run = own_run(lasting, feed.name, window)
                work = _Work(self, feed, run, lasting, read)
                lasting.run(lambda session: ledger.make_staging(session, run, feed.tables))
                work.announce(lasting.run(lambda session: enlist(session, run)))
                work.complete()
            except RunTaken as taken:
                raise SyncFailed(str(taken)) from taken
            return work.report(time.monotonic() - started)


@dataclass(frozen=True)
class _Work:
    """One run at work."""

    engine: SyncEngine
    feed: Feed
    run: Run
    lasting: LastingSession
    read: ReadAssignment

    def announce(self, total: int) -> None:
        left = self.lasting.run(
            lambda session: session.execute(
                "select count(*) from sync.fetches where run_id = %s and status = 'pending'",
                (self.run.run_id,),
            ).fetchone()
        )
        self.engine.progress.start(self.feed.name, total, total - (left[0] if left else 0))

    def complete(self) -> None:
        """Read and publish until the publish has nothing to read again."""
        for round_number in range(1, _MOST_ROUNDS + 1):
            asyncio.run(self._read_everything())
            if self._publish(partly=round_number == _MOST_ROUNDS) == 0:
                break
        end_run(self.lasting, self.run, "published")
        self.engine.progress.finish(self.feed.name)

    def report(self, seconds: float) -> SyncReport:
        counts = self.lasting.run(lambda session: read_counts(session, self.run))
        return SyncReport(
            feed=self.feed.name,
            window=self.run.window,
            seconds=seconds,
            is_resumed=self.run.is_resumed,
            **{**counts, "unknown_fields": tuple(counts["unknown_fields"])},
        )

    async def _read_everything(self) -> None:
        settings = self.engine.settings
        async with self.engine.open_api(settings) as api:
            source = Source(api, self.run.window, settings.zone, settings.page_length)
            self._recall_habits(source.habits)
            try:
                await self._scout(source)
                await self._fan_out(source)
                if await self._doubts_single_pages(source):
                    await self._fan_out(source)
            finally:
                counts = api.counts
                self.lasting.run(
                    lambda session: roster.count_requests(
                        session, self.run, counts.requests, counts.retries
                    )
                )
            self._keep_habits(source.habits)

    async def _fan_out(self, source: Source) -> None:
        async def read(assignment: Assignment) -> Outcome:
            return await self.read(source, self.feed, assignment)

        fan_out = FanOut(read, self._record, self.engine.settings.concurrency)
        await fan_out.run(self._chunks())

    async def _scout(self, source: Source) -> None:
        """Read one client alone and trust nothing, to learn how the endpoint counts its rows.

        Once per endpoint: without it, each of the first readings would have to find out.
        """
        if self.feed is REGISTRATIONS or source.habits.is_base_proven:
            return
        source.distrusts = True
        for assignment in next(self._chunks(), ())[:1]:
            with suppress(Unproven, LoyaltyApiError):
                self._record([await self.read(source, self.feed, assignment)])
        source.distrusts = False

    async def _doubts_single_pages(self, source: Source) -> bool:
        """Hold the largest single page against its end; True when some have to be read again.

        A source that caps Length and claims the cap as the total looks complete on every page.
        One page shown to end where its total says vouches for all that are not larger.
        """
        found = self.lasting.run(lambda session: roster.largest_single_page(session, self.run))
        if self.feed is REGISTRATIONS or found is None or found[1] <= source.habits.trusted_page:
            return False
        client_id, size = found
        base = source.habits.base
        source.distrusts = True
        alone = Assignment(client_id, self.run.window.first)
        try:
            outcome = await self.read(source, self.feed, alone)
            holds = outcome.source_total == size and source.habits.base == base
        except Unproven:
            holds = False
        except LoyaltyApiError as error:
            raise SyncFailed(
                f"the largest page could not be held against its end: {error}. What was read is"
                " kept: run the same command again to go on"
            ) from error
        if holds:
            source.distrusts = False
            return False
        floor = size if source.habits.base == base else 0
        self.lasting.run(lambda s: roster.read_again(s, self.run, from_page=floor))
        return True

    def _chunks(self) -> Iterator[Sequence[Assignment]]:
        """What is left to read: first what was pending before, then the rest."""
        for is_priority in (True, False):
            after: Assignment | None = None
            while chunk := self._next_chunk(is_priority, after):
                after = chunk[-1]
                yield chunk

    def _next_chunk(self, is_priority: bool, after: Assignment | None) -> Sequence[Assignment]:
        return self.lasting.run(
            lambda session: ledger.next_assignments(
                session, self.run, is_priority=is_priority, after=after, most=_CHUNK
            )
        )

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        tables = self.feed.tables
        self.lasting.run(
            lambda session: ledger.record_outcomes(session, self.run, tables, outcomes)
        )
        self.engine.progress.advance(self.feed.name, len(outcomes))

    def _publish(self, *, partly: bool) -> int:
        fuse, tables = self.engine.settings.delete_fuse, self.feed.tables
        try:
            published = self.lasting.run(
                lambda session: publish(session, self.run, tables, delete_fuse=fuse, partly=partly)
            )
        except DeleteFuseBlown as blown:
            end_run(self.lasting, self.run, "stopped", str(blown))
            raise SyncFailed(str(blown)) from blown
        return published.again

    def _recall_habits(self, habits: PagingHabits) -> None:
        known = self.lasting.run(lambda session: roster.read_habits(session, self.feed.name))
        if known is not None:
            # Trust in single pages is earned anew in each run: the source may have begun to cap.
            habits.base, _ = known
            habits.is_base_proven = True

    def _keep_habits(self, habits: PagingHabits) -> None:
        if not habits.is_base_proven:
            return
        self.lasting.run(
            lambda session: roster.keep_habits(
                session, self.feed.name, habits.base, habits.trusted_page
            )
        )
