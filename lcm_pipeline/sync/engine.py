"""The engine: brings one feed of one window from the API into the warehouse, exactly.

It decides what a run has to read: the roster's clients, or registration days; `work` does the rest.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from lcm_pipeline.loyalty_api.client import LoyaltyApi
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync import roster as days
from lcm_pipeline.sync.clients import read_assigned_client
from lcm_pipeline.sync.errors import SyncFailed
from lcm_pipeline.sync.feeds import (
    FAVOURITES,
    LEADS,
    OPERATIONS,
    REGISTRATIONS,
    Feed,
    ReadAssignment,
)
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.registrations import read_registration_day
from lcm_pipeline.sync.reports import SyncReport
from lcm_pipeline.sync.roster import schedule_of
from lcm_pipeline.sync.work import OpenApi, Work
from lcm_pipeline.warehouse import ledger, roster
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.runs import Run, RunTaken, own_run
from lcm_pipeline.warehouse.sessions import LastingSession

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
    open_api: OpenApi = LoyaltyApi.from_settings

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

    def read_again(self, feed: Feed, window: Window, client_ids: Sequence[int]) -> SyncReport:
        """Read some clients of a feed in full, whatever is known of them, and nobody else."""

        def enlist(session: Session, run: Run) -> int:
            return ledger.enlist_again(session, run, client_ids)

        return self._sync(feed, window, enlist, read_assigned_client)

    def _sync_clients(self, feed: Feed, window: Window) -> SyncReport:
        if missing := self._days(window, only_missing=True):
            self._poll(window, missing)
        schedule = schedule_of(self.settings)

        def enlist(session: Session, run: Run) -> int:
            return ledger.enlist_clients(session, run, schedule)

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
                work = Work(self.settings, self.progress, self.open_api, feed, run, lasting, read)
                lasting.run(lambda session: ledger.make_staging(session, run, feed.tables))
                work.announce(lasting.run(lambda session: enlist(session, run)))
                work.complete()
            except RunTaken as taken:
                raise SyncFailed(str(taken)) from taken
            return work.report(time.monotonic() - started)
