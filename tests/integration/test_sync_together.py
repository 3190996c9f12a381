"""Feeds that are read together share their slots, have an order, and end independently."""

import asyncio
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from typing import Any

import psycopg
import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import ForbiddenError
from lcm_pipeline.feeds import FAVOURITES, FEEDS, LEADS, OPERATIONS
from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.fan_out import FanOut
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.syncing import MARCH, sync_everything
from tests.waiting import PATIENCE, wait_for

TOGETHER = (OPERATIONS, LEADS, FAVOURITES)

Before = Callable[[str], Any]


def api_awaiting(before: Before) -> Callable[[Settings], LoyaltyApi]:
    """An `open_api` whose API client awaits `before` with the endpoint's name before each call."""

    class Watched(LoyaltyApi):
        async def call(self, endpoint: Any, request: Any) -> Any:
            await before(endpoint.name)
            return await super().call(endpoint, request)

    return Watched.from_settings


def rows_of(warehouse: Warehouse) -> dict[str, int]:
    with warehouse.connect() as session:
        return {
            name: session.execute(f"select count(*) from core.{name}".encode()).fetchone()[0]  # type: ignore[index]
            for name in ("operations", "leads", "favourite_offers", "favourite_goods")
        }


@pytest.mark.slow
def test_feeds_read_together_equal_feeds_read_alone(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(), warehouse)
    together = SyncEngine(settings, warehouse).begin_concurrent(TOGETHER, MARCH)
    reports = {feed.name: together.report(feed) for feed in TOGETHER}
    together.close()
    found = rows_of(warehouse)
    assert all(report.is_complete and report.rows_written for report in reports.values())
    alone = sync_everything(settings, warehouse)
    assert all(alone[name].rows_written == 0 for name in reports)
    assert rows_of(warehouse) == found
    assert all(found.values())


def test_a_failed_feed_raises_in_the_caller_that_waits_for_it(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    async def refuse_leads(name: str) -> None:
        if name == LEADS.endpoint.name:
            raise ForbiddenError("HTTP 403", status=403)

    settings = make_settings(programme(), warehouse)
    engine = SyncEngine(settings, warehouse, open_api=api_awaiting(refuse_leads))
    together = engine.begin_concurrent(TOGETHER, MARCH)
    assert together.report(FAVOURITES).is_complete
    assert together.report(OPERATIONS).is_complete
    with pytest.raises(SyncError, match="403"):
        together.report(LEADS)
    together.close()


def test_a_report_can_be_taken_only_once(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=5), warehouse)
    together = SyncEngine(settings, warehouse).begin_concurrent([LEADS], MARCH)
    assert not together.has_report_for(OPERATIONS, MARCH)
    assert not together.has_report_for(LEADS, Window(date(2026, 3, 1), date(2026, 3, 2)))
    assert together.has_report_for(LEADS, MARCH)
    together.report(LEADS)
    assert not together.has_report_for(LEADS, MARCH)
    together.close()


@pytest.mark.slow
def test_a_feed_starts_all_its_tasks_before_the_next_feed_begins(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(), warehouse, concurrency=1)
    sync_everything(
        settings, warehouse
    )  # afterwards the paging is known, and no client is read alone first
    requested: list[str] = []

    async def record(name: str) -> None:
        requested.append(name)

    together = SyncEngine(settings, warehouse, open_api=api_awaiting(record)).begin_concurrent(
        TOGETHER, MARCH
    )
    for feed in TOGETHER:
        together.report(feed)
    together.close()
    order = [name for at, name in enumerate(requested) if name not in requested[:at]]
    assert order[:3] == [feed.endpoint.name for feed in TOGETHER]
    last = max(at for at, name in enumerate(requested) if name == OPERATIONS.endpoint.name)
    assert last < requested.index(FAVOURITES.endpoint.name)


def test_closing_interrupts_and_the_next_sync_resumes(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    counts: Counter[str] = Counter()

    async def stall(name: str) -> None:
        counts[name] += 1
        if counts[OPERATIONS.endpoint.name] > 20:
            await asyncio.sleep(3600)

    settings = make_settings(programme(), warehouse)
    together = SyncEngine(settings, warehouse, open_api=api_awaiting(stall)).begin_concurrent(
        TOGETHER, MARCH
    )
    wait_for(lambda: counts[OPERATIONS.endpoint.name] > 20)
    together.close()
    for feed in TOGETHER:
        with pytest.raises(asyncio.CancelledError):
            together.report(feed)
    report = SyncEngine(settings, warehouse).sync(OPERATIONS, MARCH)
    assert report.is_resumed
    assert report.is_complete


@pytest.mark.slow
def test_a_failed_start_fails_every_feed(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(), warehouse)
    nowhere = Warehouse("postgresql://nobody@127.0.0.1:1/none")
    together = SyncEngine(settings, nowhere).begin_concurrent(TOGETHER, MARCH)
    for feed in TOGETHER:
        with pytest.raises(psycopg.OperationalError):
            together.report(feed)
    together.close()


def test_a_report_does_not_wait_for_a_thread_that_could_not_begin(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    class WithoutLoops(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    engine = SyncEngine(make_settings(programme(clients=1), warehouse), warehouse)
    asyncio.set_event_loop_policy(WithoutLoops())
    try:
        syncing = engine.begin_concurrent([LEADS], MARCH)
        with ThreadPoolExecutor() as waiting:
            with pytest.raises(OSError, match="Too many open files"):
                waiting.submit(syncing.report, LEADS).result(PATIENCE)
            syncing.close()
    finally:
        asyncio.set_event_loop_policy(None)


def test_feeds_that_share_slots_never_exceed_them() -> None:
    held: list[int] = []
    unsaved = 0

    async def read(task: Task) -> Outcome:
        nonlocal unsaved
        unsaved += 1
        held.append(unsaved)
        await asyncio.sleep(0.001)
        return Outcome(task, "done", None)  # type: ignore[arg-type]

    def record(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        nonlocal unsaved
        time.sleep(0.002)
        unsaved -= len(outcomes)
        return ()

    async def main() -> None:
        slots = asyncio.Semaphore(3)
        chunks = [[Task(client, date(2026, 3, 1)) for client in range(40)]]
        fan_outs = [FanOut(read, record, 3, slots) for _ in range(3)]
        await asyncio.gather(*(fan_out.run(iter(chunks)) for fan_out in fan_outs))

    asyncio.run(main())
    assert len(held) == 120
    assert max(held) == 3


def test_a_cancelled_caller_leaves_no_running_statement(warehouse: Warehouse) -> None:
    def sleep(session: psycopg.Connection[Any]) -> None:
        session.execute("select pg_sleep(3600)")

    async def main() -> None:
        with ReconnectingSession(warehouse, "lcm sleeper") as reconnecting:
            task = asyncio.ensure_future(
                run_in_thread(lambda: reconnecting.run(sleep), cancel_session=reconnecting)
            )
            await asyncio.sleep(0.3)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())
    with warehouse.connect() as session:
        left = session.execute(
            "select count(*) from pg_stat_activity"
            " where application_name = 'lcm sleeper' and state = 'active'"
        ).fetchone()
    assert left == (0,)


@pytest.mark.parametrize("times", [1, 2])
def test_short_work_completes_when_its_caller_is_cancelled(times: int) -> None:
    done: list[bool] = []

    def work() -> None:
        time.sleep(0.3)
        done.append(True)

    async def main() -> None:
        task = asyncio.ensure_future(run_in_thread(work))
        await asyncio.sleep(0.05)
        for _ in range(times):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert done

    asyncio.run(main())


def test_a_step_of_a_run_is_named_after_its_feed() -> None:
    """`RunSelection.from_context` finds a feed by the name of its step."""
    from lcm_pipeline.orchestration.assets.feeds import FEED_ASSETS

    assert [definition.op.name for definition in FEED_ASSETS] == [feed.step for feed in FEEDS]
