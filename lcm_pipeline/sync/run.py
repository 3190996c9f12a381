"""One run of a feed in three verbs: start, read, publish.

Each verb finds its state in the warehouse, so each may run in another process, and any number of
processes may read concurrently: tasks are claimed, see `warehouse.ingest.tasks`. Decisions that a
run takes once (how the endpoint pages, whether its pages can be trusted, the fuses) are taken when
it starts or when it is published.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from lcm_pipeline.api.paging import read_page
from lcm_pipeline.feeds import ClientFeed, Feed, feed_named
from lcm_pipeline.model.forgotten import Forgotten
from lcm_pipeline.model.pages import PageRequest
from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.reading.proof import PagingHabits
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.client import read_client_task
from lcm_pipeline.sync.context import RunContext
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.fan_out import FanOut
from lcm_pipeline.sync.gathering import any_true
from lcm_pipeline.sync.ledger import RunLedger
from lcm_pipeline.sync.paging_checks import PagingChecks
from lcm_pipeline.sync.registrations import read_registration_day
from lcm_pipeline.sync.report import ReaderReport, SyncReport
from lcm_pipeline.sync.service_monitor import ServiceMonitor
from lcm_pipeline.sync.source import Source
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import state, tasks
from lcm_pipeline.warehouse.ingest.fuses import PublishRefusedError
from lcm_pipeline.warehouse.ingest.publish import begin_batches, publish
from lcm_pipeline.warehouse.ingest.runs import (
    Run,
    RunLostError,
    add_request_counts,
    finish_run,
    leave_run,
    read_counts,
    record_failure,
    stop_run,
)
from lcm_pipeline.warehouse.marts.refresh import refresh_completeness
from lcm_pipeline.warehouse.outbox.push_lock import quiet_seconds, was_pushing
from lcm_pipeline.warehouse.privacy.keys import load_forgotten, require_pseudonyms

logger = logging.getLogger(__name__)

# Tasks per claim: a claim costs the warehouse milliseconds, so it should cover many readings.
_CHUNK = 1_000
# Rounds of a publish. A source that changes all the time must not hold back what is proven.
_MAX_ROUNDS = 5
# A day is one response, however many clients registered on it: few at a time bound the memory.
_DAYS_AT_ONCE = 4
# How often a reader checks whether another one has finished or lost its tasks.
_WATCH_SECONDS = 0.5
_LOG_WAIT_AFTER_SECONDS = 5.0


@dataclass
class SyncRun:
    """Executes one run, as a member of it.

    command_id: the command that publishes the run; None for a run on its own.
    requests: of this process. waited_seconds: time spent waiting for tasks that other readers had
    claimed.
    """

    settings: Settings
    context: RunContext
    ledger: RunLedger
    command_id: int | None = None
    waited_seconds: float = field(default=0.0, init=False)
    requests: int = field(default=0, init=False)
    _habits: PagingHabits = field(default_factory=PagingHabits, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)

    @property
    def feed(self) -> Feed:
        return self.ledger.feed

    @property
    def run(self) -> Run:
        return self.ledger.run

    async def start(self, add_tasks: tasks.AddTasks) -> bool:
        """Add the tasks to the ledger, and probe how the endpoint pages.

        add_tasks: adds the tasks. It is called again when a run is resumed, and adds none twice.
        Returns False if another process has ended the run meanwhile.
        """
        fresh_from = self.run.window.fresh_from(datetime.now(UTC), self.settings.zone)
        is_under_way = await self.ledger.call(
            tasks.prepare_run, self.feed.tables, add_tasks, fresh_from, self.command_id
        )
        if not is_under_way:
            return False
        counts = await self.ledger.call(tasks.store_task_counts)
        self.context.is_prepared.set()
        self.ledger.progress.start(self.feed.name, counts.tasks, counts.tasks - counts.pending)
        await self._wait_for_running_push()
        async with self._open_source() as source:
            if not self.feed.is_by_day:
                await self._paging_checks(source).probe()
        return True

    async def read(self) -> None:
        """Claim, read and stage tasks until none is left, including those of lost readers."""
        await self._wait_for_running_push()
        async with self._open_source() as source:
            await self._fan_out(source)
            began = time.monotonic()
            has_logged_wait = False
            while await self.ledger.call(tasks.count_pending):
                other = await self.ledger.call(tasks.pending_elsewhere)
                if other is None:
                    # The claims were lost with a session, or their readers have just ended.
                    await self._fan_out(source)
                    continue
                if not has_logged_wait and time.monotonic() - began > _LOG_WAIT_AFTER_SECONDS:
                    has_logged_wait = True
                    logger.info(
                        "%s: waiting for %s %ss that another reader has (server process %s)",
                        self.feed.name, other.tasks, self.feed.unit, other.pid,
                    )  # fmt: skip
                await asyncio.sleep(_WATCH_SECONDS)
                await self._fan_out(source)
            self.waited_seconds += time.monotonic() - began
        self.context.all_dispatched.set()

    async def publish(self) -> None:
        """Publish the proven readings; a few times, read what a publish reopens, or others add."""
        reconnecting = self.ledger.reconnecting
        for round_number in range(1, _MAX_ROUNDS + 1):
            is_last = round_number == _MAX_ROUNDS
            async with self._open_source() as source:
                if not self.feed.is_by_day:
                    has_reopened = await self._paging_checks(source).verify_largest_page()
                    if has_reopened:
                        await self._fan_out(replace(source, trusts_single_pages=False))
            await self._publish_once(allow_partial=is_last)
            finish = partial(
                finish_run, reconnecting, self.run, self.command_id, leaves_tasks=is_last
            )
            if await run_in_thread(finish, cancel_session=reconnecting):
                break
            await self.read()
        self.ledger.progress.finish(self.feed.name)

    def reader_report(self) -> ReaderReport:
        """What this process has read of the run."""
        return ReaderReport(
            self.feed.name,
            self.run.window,
            requests=self.requests,
            rows=self.ledger.rows,
            tasks=self.ledger.tasks_read,
            waited_seconds=self.waited_seconds,
        )

    async def report(self) -> SyncReport:
        """What the run did; its seconds count from when this process began to read it."""
        seconds = time.monotonic() - self._began
        counts = await self.ledger.call(read_counts)
        return report_of(self.run, counts, seconds)

    def leave(self) -> None:
        """Leave the run unfinished: other readers may join it from processes of their own."""
        leave_run(self.ledger.reconnecting, self.run)

    @asynccontextmanager
    async def recording_failure(self) -> AsyncIterator[None]:
        """Record why this process stopped; SyncError when another process has ended the run."""
        try:
            yield
        except RunLostError as lost:
            raise SyncError(str(lost)) from lost
        except Exception as error:
            reconnecting = self.ledger.reconnecting
            record = partial(record_failure, reconnecting, self.run, error)
            await run_in_thread(record, cancel_session=reconnecting)
            raise

    @asynccontextmanager
    async def _open_source(self) -> AsyncIterator[Source]:
        """The API as this run sees it; counts its requests, and stores how it numbers rows."""
        pseudonyms = self.settings.pseudonyms

        def read_state(session: Session) -> tuple[int | None, Forgotten, date | None]:
            base = state.read_base(session, self.feed.name)
            forgotten = load_forgotten(session, self.settings.pseudonym_keys)
            require_pseudonyms(session, pseudonyms, is_run=True)
            return base, forgotten, state.read_kept_from(session)

        base, forgotten, kept_from = await self.ledger.in_session(read_state)
        if base is not None:
            # Single pages are verified again in each run: the source may have begun to cap them.
            self._habits.base, self._habits.is_base_proven = base, True
        async with self.context.api.sibling() as api:
            source = Source(
                api,
                self.run.window,
                self.settings.zone,
                self.settings.page_length,
                self._habits,
                forgotten=forgotten,
                pseudonyms=pseudonyms,
                kept_from=kept_from,
            )
            try:
                yield source
            finally:
                counts = api.counts
                self.requests += counts.requests
                await self.ledger.call(add_request_counts, counts.requests, counts.retries)
            if self._habits.is_base_proven and self._habits.base != base:
                await self.ledger.in_session(
                    lambda s: state.store_base(s, self.feed.name, self._habits.base)
                )

    async def _wait_for_running_push(self) -> None:
        """Wait for the last request of a push, which yields to a sync that has begun.

        One pause lets it send what it was about to send; another takes that out of our rate.
        """
        quiet = quiet_seconds(self.settings.max_rps)
        if quiet is not None and await self.ledger.in_session(lambda s: was_pushing(s, quiet)):
            await asyncio.sleep(2 * quiet)

    async def _fan_out(self, source: Source) -> None:
        # Nothing is in flight here. A claim that this process still holds was made by a statement
        # whose result was lost with its session.
        await self.ledger.call(tasks.drop_claims)
        concurrency = self.settings.concurrency
        if self.feed.is_by_day:
            concurrency = min(concurrency, _DAYS_AT_ONCE)
        monitor = ServiceMonitor(
            partial(self._read_task, source),
            concurrency,
            has_succeeded=await self.ledger.call(tasks.has_read),
            find_others=lambda: self.ledger.call(tasks.probe_tasks),
            responds_elsewhere=(
                partial(self._responds_for_clients, source) if self.feed.is_by_day else None
            ),
        )
        fan_out = FanOut(
            monitor.read_task,
            self.ledger.record,
            concurrency,
            self.context.slots,
            on_all_dispatched=self.context.all_dispatched.set,
        )
        if not self.context.all_dispatched.is_set():
            await self.context.wait_to_dispatch()
            # The report counts the seconds from here: the wait belongs to the previous feed.
            self._began = time.monotonic()
        # With several readers, the others wait for the last chunk of the slowest: keep it small.
        most = _CHUNK if self.settings.readers == 1 else self.settings.concurrency
        await fan_out.run(self.ledger.chunks(most))
        await monitor.check_at_end()

    def _paging_checks(self, source: Source) -> PagingChecks:
        read = partial(self._read_task, replace(source, trusts_single_pages=False))
        return PagingChecks(self.ledger, source.habits, self.context.slots, read)

    async def _read_task(self, source: Source, task: Task) -> Outcome:
        if isinstance(self.feed, ClientFeed):
            outcome = await read_client_task(source, self.feed, task)
        else:
            outcome = await read_registration_day(source, task)
        source.require_ended(outcome.read_at)
        return outcome

    async def _responds_for_clients(self, source: Source) -> bool:
        """Whether the service responds for a known client, even if every registration day fails."""
        api = source.api.with_attempts(2)

        async def responds(feed_name: str, client_id: int) -> bool:
            # Any error means that there was no response for this client.
            with suppress(Exception):
                await read_page(api, feed_named(feed_name).endpoint, client_id, PageRequest(1, 1))
                return True
            return False

        known = await self.ledger.in_session(tasks.probe_clients)
        return await any_true(responds(feed_name, client_id) for feed_name, client_id in known)

    async def _publish_once(self, *, allow_partial: bool) -> None:
        batch_rows = self.settings.publish_batch_rows
        if await self.ledger.call(begin_batches, batch_rows):
            # Before the first batch, so that BI users see that its rows are not all.
            await run_in_thread(partial(refresh_completeness, self.context.warehouse))
        try:
            await self.ledger.call(
                publish,
                self.feed.tables,
                delete_fuse=self.settings.delete_fuse,
                growth_fuse=self.settings.growth_fuse,
                allow_partial=allow_partial,
                batch_rows=batch_rows,
            )
        except PublishRefusedError as refused:
            reconnecting = self.ledger.reconnecting
            stop = partial(stop_run, reconnecting, self.run, str(refused))
            await run_in_thread(stop, cancel_session=reconnecting)
            raise SyncError(str(refused)) from refused


def report_of(run: Run, counts: dict[str, Any], seconds: float) -> SyncReport:
    """The report of a run, from the counts in the warehouse."""
    return SyncReport(
        feed=run.feed,
        window=run.window,
        seconds=seconds,
        is_resumed=run.is_resumed,
        **{**counts, "unknown_fields": tuple(counts["unknown_fields"])},
    )
