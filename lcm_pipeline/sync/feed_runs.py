"""Begins, joins and finds the runs of one feed for one window."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.context import RunContext
from lcm_pipeline.sync.ledger import RunLedger
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.sync.run import SyncRun, report_of
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import runs
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.sessions import ReconnectingSession


class SyncRequest(NamedTuple):
    """What to sync, and the command that it belongs to; None outside of a command."""

    feed: Feed
    window: Window
    command_id: int | None = None


@dataclass(frozen=True)
class FeedRuns:
    """The runs that a request may concern, in one session. The calls block."""

    request: SyncRequest
    settings: Settings
    progress: Progress
    reconnecting: ReconnectingSession

    def find_published(self) -> SyncReport | None:
        """The report of the run in which the command published the feed; None if it has not."""
        feed, window, command_id = self.request
        if command_id is None:
            return None
        fresh_from = window.fresh_from(datetime.now(UTC), self.settings.zone)

        def find(session: Session) -> SyncReport | None:
            run = runs.find_published_run(session, command_id, feed.name, window, fresh_from)
            return None if run is None else report_of(run, runs.read_counts(session, run), 0.0)

        return self.reconnecting.run(find)

    def begin(self, context: RunContext) -> SyncRun:
        """Begin a run, or resume the unfinished one."""
        feed, window, _ = self.request
        run = runs.begin_run(self.reconnecting, feed.name, window, self.settings.pseudonyms)
        return self._sync_run(run, context)

    def join(self, context: RunContext) -> SyncRun | None:
        """Join the unfinished run; None if there is none."""
        feed, window, _ = self.request
        run = runs.join_run(self.reconnecting, feed.name, window, self.settings.pseudonyms)
        return None if run is None else self._sync_run(run, context)

    def _sync_run(self, run: Run, context: RunContext) -> SyncRun:
        ledger = RunLedger(self.request.feed, run, self.reconnecting, self.progress)
        return SyncRun(self.settings, context, ledger, self.request.command_id)
