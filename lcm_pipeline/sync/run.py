"""One run at work: read what is on its ledger, hold it against the source's habits, publish.

Rounds: a publish may find that some fetches have to be read again, because staging lost them or
another run published the client meanwhile; then the round is repeated, a few times.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from lcm_pipeline.api.errors import LoyaltyApiError, TransientError
from lcm_pipeline.api.paging import read_page
from lcm_pipeline.feeds import Feed, feed_named
from lcm_pipeline.model.pages import Ask
from lcm_pipeline.model.readings import Outcome, Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.proof import PagingHabits
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.client import read_client_task
from lcm_pipeline.sync.context import RunContext
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.fan_out import FanOut
from lcm_pipeline.sync.pages import any_true
from lcm_pipeline.sync.progress import Progress
from lcm_pipeline.sync.registrations import read_registration_day
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.sync.source import Source
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import state, tasks
from lcm_pipeline.warehouse.ingest.publish import PublishRefused, publish
from lcm_pipeline.warehouse.ingest.runs import Run, end_run, read_counts
from lcm_pipeline.warehouse.outbox.push_lock import quiet_seconds, was_pushing
from lcm_pipeline.warehouse.sessions import ReconnectingSession

ResultT = TypeVar("ResultT")

_CHUNK = 1_000
_MOST_ROUNDS = 5
# Clients tried to learn how an endpoint pages, and to check the largest page of a run.
_MOST_SCOUTS, _MOST_CHECKS = 3, 3
# A day comes in one answer, however many registered on it: few at once keep memory flat.
_DAYS_AT_ONCE = 4


@dataclass
class SyncRun:
    """One run at work, for the process that owns it.

    reconnecting: the session that owns the run.
    """

    settings: Settings
    progress: Progress
    shared: RunContext
    feed: Feed
    run: Run
    reconnecting: ReconnectingSession
    _began: float = field(default_factory=time.monotonic, init=False)

    async def begin(self, add_tasks: Callable[[Session, Run], int]) -> None:
        """Make the staging tables, and put on the ledger what is to be read."""
        await self._do(lambda session: tasks.make_staging(session, self.run, self.feed.tables))
        total = await self._do(lambda session: add_tasks(session, self.run))
        left = await self._do(
            lambda session: session.execute(
                "select count(*) from sync.fetches where run_id = %s and status = 'pending'",
                (self.run.run_id,),
            ).fetchone()
        )
        self.progress.start(self.feed.name, total, total - (left[0] if left else 0))

    async def complete(self) -> None:
        """Read and publish until the publish has nothing to read again."""
        for round_number in range(1, _MOST_ROUNDS + 1):
            await self._read_everything()
            self.shared.all_dispatched.set()
            if await self._publish(partly=round_number == _MOST_ROUNDS) == 0:
                break
        await self._end("published")
        self.progress.finish(self.feed.name)

    async def report(self) -> SyncReport:
        """What the run did; its seconds are those since it had its turn."""
        seconds = time.monotonic() - self._began
        counts = await self._do(lambda session: read_counts(session, self.run))
        return SyncReport(
            feed=self.feed.name,
            window=self.run.window,
            seconds=seconds,
            is_resumed=self.run.is_resumed,
            **{**counts, "unknown_fields": tuple(counts["unknown_fields"])},
        )

    async def _do(self, work: Callable[[Session], ResultT]) -> ResultT:
        """Do some work in the session of the run, beside the readings of others."""
        return await run_in_thread(
            partial(self.reconnecting.run, work), cancel_session=self.reconnecting
        )

    async def _end(self, status: str, error: str | None = None) -> None:
        end = partial(end_run, self.reconnecting, self.run, status, error)
        await run_in_thread(end, cancel_session=self.reconnecting)

    async def _read_everything(self) -> None:
        settings = self.settings
        await self._wait_for_running_push()
        async with self.shared.api.sibling() as api:
            source = Source(api, self.run.window, settings.zone, settings.page_length)
            await self._load_paging_habits(source.habits)
            try:
                await self._probe_paging(source)
                await self._fan_out(source)
                if await self._verify_largest_page(source):
                    await self._fan_out(source)
            finally:
                counts = api.counts
                await self._do(
                    lambda session: state.count_requests(
                        session, self.run, counts.requests, counts.retries
                    )
                )
            await self._store_paging_habits(source.habits)

    async def _wait_for_running_push(self) -> None:
        """A push sends no more once this run has begun, but for what has its turn already.

        That takes it a moment, and another until what it sent is no more of our rate.
        """
        quiet = quiet_seconds(self.settings.max_rps)
        if quiet is not None and await self._do(lambda session: was_pushing(session, quiet)):
            await asyncio.sleep(2 * quiet)

    async def _fan_out(self, source: Source) -> None:
        concurrency = self.settings.concurrency
        if self.feed.is_by_day:
            concurrency = min(concurrency, _DAYS_AT_ONCE)
        fan_out = FanOut(
            partial(self._read_task, source),
            self._record,
            concurrency,
            self.shared.slots,
            has_succeeded=await self._has_succeeded(),
            on_all_dispatched=self.shared.all_dispatched.set,
            find_others=self._find_others,
        )
        if self.feed.is_by_day:
            fan_out.answers_elsewhere = partial(self._answers_for_clients, source)
        if not self.shared.all_dispatched.is_set():
            await self.shared.wait_for_previous_feed()
            self._began = time.monotonic()
        await fan_out.run(self._chunks())

    async def _read_task(self, source: Source, task: Task) -> Outcome:
        read = read_registration_day if self.feed.is_by_day else read_client_task
        return await read(source, self.feed, task)

    async def _find_others(self) -> Sequence[Task]:
        return await self._do(lambda session: tasks.others_to_ask(session, self.run))

    async def _answers_for_clients(self, source: Source) -> bool:
        """Whether the service answers for a client who is known, whatever it says of the days."""
        api = source.api.with_attempts(2)

        async def is_answered(feed_name: str, client_id: int) -> bool:
            # Whatever is raised says that this one got no answer.
            with suppress(Exception):
                await read_page(api, feed_named(feed_name).endpoint, client_id, Ask(1, 1))
                return True
            return False

        known = await self._do(state.known_clients)
        return await any_true(is_answered(feed_name, client_id) for feed_name, client_id in known)

    async def _has_succeeded(self) -> bool:
        """Whether the run read something before: alone, in an earlier round, or before a kill."""
        found = await self._do(
            lambda session: session.execute(
                "select exists (select from sync.fetches where run_id = %s"
                " and status not in ('pending', 'unproven', 'failed'))",
                (self.run.run_id,),
            ).fetchone()
        )
        return bool(found and found[0])

    async def _probe_paging(self, source: Source) -> None:
        """Read one client alone and trust nothing, to learn how the endpoint counts its rows.

        Once per endpoint: without it, each of the first readings would have to find out. One that
        cannot be read tells nothing, so a few are tried.
        """
        if self.feed.is_by_day or source.habits.is_base_proven:
            return
        source.distrusts = True
        async with self.shared.slots:
            for task in await run_in_thread(lambda: next(self._chunks(), ())[:_MOST_SCOUTS]):
                try:
                    outcome = await self._read_task(source, task)
                except TransientError:
                    break
                except Exception:  # noqa: BLE001, S112 - it is read again, and then it is told
                    continue
                await run_in_thread(partial(self._record, [outcome]))
                break
        source.distrusts = False
        await self._store_paging_habits(source.habits)

    async def _verify_largest_page(self, source: Source) -> bool:
        """Hold the largest single page against its end; True when some have to be read again.

        A source that caps Length and claims the cap as the total looks complete on every page.
        One page shown to end where its total says vouches for all that are not larger. A client
        that cannot be read any more is left pending, and the next largest page is taken.
        """
        if self.feed.is_by_day:
            return False
        reason = ""
        for _ in range(_MOST_CHECKS):
            found = await self._do(lambda session: state.largest_single_page(session, self.run))
            if found is None or found[1] <= source.habits.trusted_page:
                source.distrusts = False
                return False
            client_id, size = found
            base = source.habits.base
            source.distrusts = True
            alone = Task(client_id, self.run.window.first)
            try:
                async with self.shared.slots:
                    outcome = await self._read_task(source, alone)
                holds = outcome.source_total == size and source.habits.base == base
            except UnprovenReadingError:
                holds = False
            except Exception as error:  # noqa: BLE001 - it costs this client alone
                told = str(error) if isinstance(error, LoyaltyApiError) else type(error).__name__
                reason = f"its page could not be held against its end: {told}"
                failed = Outcome(alone, "failed", datetime.now(UTC), error=reason)
                await self._do(partial(self._put_down, failed))
                continue
            if holds:
                source.distrusts = False
                return False
            floor = size if source.habits.base == base else 0
            await self._do(partial(state.read_again, run=self.run, from_page=floor))
            return True
        raise SyncError(
            f"the largest pages could not be held against their ends: {reason}. What was read is"
            " kept: run the same command again to go on"
        )

    def _put_down(self, failed: Outcome, session: Session) -> None:
        tasks.record_outcomes(session, self.run, self.feed.tables, [failed])

    def _chunks(self) -> Iterator[Sequence[Task]]:
        """What is left to read: first what was pending before, then the rest."""
        for is_priority in (True, False):
            after: Task | None = None
            while chunk := self._next_chunk(is_priority, after):
                after = chunk[-1]
                yield chunk

    def _next_chunk(self, is_priority: bool, after: Task | None) -> Sequence[Task]:
        return self.reconnecting.run(
            lambda session: tasks.next_tasks(
                session, self.run, is_priority=is_priority, after=after, most=_CHUNK
            )
        )

    def _record(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Store outcomes; returns those whose values the warehouse refused."""
        tables = self.feed.tables
        refused = self.reconnecting.run(
            lambda session: tasks.record_outcomes(session, self.run, tables, outcomes)
        )
        self.progress.advance(self.feed.name, len(outcomes))
        return refused

    async def _publish(self, *, partly: bool) -> int:
        try:
            published = await self._do(
                lambda session: publish(
                    session,
                    self.run,
                    self.feed.tables,
                    delete_fuse=self.settings.delete_fuse,
                    growth_fuse=self.settings.growth_fuse,
                    partly=partly,
                )
            )
        except PublishRefused as refused:
            await self._end("stopped", str(refused))
            raise SyncError(str(refused)) from refused
        return published.again

    async def _load_paging_habits(self, habits: PagingHabits) -> None:
        """Trust in single pages is earned anew in each run: the source may have begun to cap."""
        base = await self._do(lambda session: state.read_base(session, self.feed.name))
        if base is not None:
            habits.base, habits.is_base_proven = base, True

    async def _store_paging_habits(self, habits: PagingHabits) -> None:
        if habits.is_base_proven:
            await self._do(lambda s: state.store_base(s, self.feed.name, habits.base))
