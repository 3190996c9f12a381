"""A command is resumed as a whole, and its runs are read by any number of processes."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from lcm_pipeline.feeds import CLIENT_FEEDS, FEEDS, LEADS, OPERATIONS, Feed
from lcm_pipeline.model.tasks import Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.sync import run as sync_run
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.run import SyncRun
from lcm_pipeline.verify.repair import read_clients_again
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.publish import publish
from lcm_pipeline.warehouse.ingest.resets import reset_quarantined
from lcm_pipeline.warehouse.ingest.runs import finish_run
from lcm_pipeline.warehouse.ingest.tasks import AddTasks, claim_tasks
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.oracle import assert_exact
from tests.syncing import MARCH

ZONE = ZoneInfo("Europe/Moscow")


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=40)


@pytest.fixture
def settings(
    source: RunningSimulator, warehouse: Warehouse, make_settings: MakeSettings
) -> Settings:
    return make_settings(source, warehouse)


@pytest.fixture
def synced_engine(warehouse: Warehouse, settings: Settings) -> SyncEngine:
    """An engine that has synced March."""
    engine = SyncEngine(settings, warehouse)
    for feed in FEEDS:
        engine.sync(feed, MARCH)
    return engine


def requests_of(source: RunningSimulator) -> dict[str, int]:
    counts = dict(source.service.traffic.counts()["by_endpoint"])
    source.service.traffic.reset()
    return counts


def statuses(warehouse: Warehouse) -> list[str]:
    with warehouse.connect() as session:
        rows = session.execute("select status from sync.commands order by command_id").fetchall()
    return [row[0] for row in rows]


def test_feeds_that_a_command_has_published_are_not_read_again(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    first = SyncEngine(settings, warehouse)
    command_id = first.begin_command(FEEDS, MARCH)
    done = [first.sync(feed, MARCH, command_id=command_id) for feed in FEEDS[:3]]
    assert set(requests_of(source)) >= {"ClientInfoPeriod", "OperationHistory", "LeadsPagingInfo"}

    second = SyncEngine(settings, warehouse)
    assert second.begin_command(FEEDS, MARCH) == command_id
    again = [second.sync(feed, MARCH, command_id=command_id) for feed in FEEDS]
    requests = requests_of(source)
    assert not requests.keys() & {"ClientInfoPeriod", "OperationHistory", "LeadsPagingInfo"}
    assert [(r.rows_written, r.requests) for r in again[:3]] == [
        (r.rows_written, r.requests) for r in done
    ]
    assert all(report.is_resumed for report in again[:3])
    assert statuses(warehouse) == ["finished"]
    assert_exact(source, warehouse, last=MARCH.last)


def test_a_finished_command_starts_again_from_scratch(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    engine = SyncEngine(settings, warehouse)
    command_id = engine.begin_command([LEADS], MARCH)
    engine.sync(LEADS, MARCH, command_id=command_id)
    other = engine.begin_command([LEADS], MARCH)
    assert other != command_id
    requests_of(source)
    engine.sync(LEADS, MARCH, command_id=other)
    assert requests_of(source)["LeadsPagingInfo"] >= 40


@pytest.mark.slow
def test_a_command_covered_by_a_later_one_is_abandoned(
    warehouse: Warehouse, settings: Settings
) -> None:
    engine = SyncEngine(settings, warehouse)
    command_id = engine.begin_command([OPERATIONS, LEADS], MARCH)
    engine.sync(LEADS, MARCH, command_id=command_id)
    later = Window(date(2026, 3, 30), date(2026, 3, 30))
    covering = engine.begin_command([OPERATIONS, LEADS], later)
    for feed in (OPERATIONS, LEADS):
        engine.sync(feed, later, command_id=covering)
    assert engine.begin_command([OPERATIONS, LEADS], MARCH) != command_id
    assert statuses(warehouse) == ["abandoned", "finished", "running"]


def test_replayed_rows_are_read_again_by_an_unfinished_command(
    warehouse: Warehouse, settings: Settings
) -> None:
    engine = SyncEngine(settings, warehouse)
    command_id = engine.begin_command([OPERATIONS, LEADS], MARCH)
    engine.sync(LEADS, MARCH, command_id=command_id)
    with warehouse.connect() as session:
        reset_quarantined(session)
    assert engine.begin_command([OPERATIONS, LEADS], MARCH) != command_id


@pytest.mark.slow
@pytest.mark.parametrize("words", [("reset", "--feed", "leads"), ("retire", "--undo")])
def test_what_the_next_sync_is_to_read_is_read_by_an_unfinished_command_too(
    source: RunningSimulator,
    warehouse: Warehouse,
    synced_engine: SyncEngine,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    client = str(max(source.world.programme.customers))
    clients = [client] if words[0] == "retire" else []
    variables = {"LCM_DATABASE_URL": warehouse.url}
    if clients:
        assert run(tmp_path, "retire", "--yes", client, **variables).returncode == 0
    command_id = synced_engine.begin_command([OPERATIONS, LEADS], _NEWEST)
    synced_engine.sync(LEADS, _NEWEST, command_id=command_id)
    assert run(tmp_path, *words, "--yes", *clients, **variables).returncode == 0
    requests_of(source)
    again = synced_engine.begin_command([OPERATIONS, LEADS], _NEWEST)
    synced_engine.sync(LEADS, _NEWEST, command_id=again)
    assert requests_of(source)["LeadsPagingInfo"] >= 40


_NEWEST = Window(MARCH.last, MARCH.last)


def stop_before_publish(
    settings: Settings, warehouse: Warehouse, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of leads that has read everything, and is then killed."""

    async def stop(run: SyncRun) -> None:
        raise SyncError("killed")

    engine = SyncEngine(settings, warehouse)
    with monkeypatch.context() as patched, pytest.raises(SyncError, match="killed"):
        patched.setattr(SyncRun, "publish", stop)
        engine.sync(LEADS, window, command_id=engine.begin_command([LEADS], window))


@pytest.mark.slow
@pytest.mark.parametrize("window", [Window(MARCH.first, date(2026, 3, 20)), _NEWEST])
def test_reading_a_client_again_takes_nothing_from_an_interrupted_command(
    source: RunningSimulator,
    warehouse: Warehouse,
    settings: Settings,
    synced_engine: SyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    window: Window,
) -> None:
    stop_before_publish(settings, warehouse, window, monkeypatch)
    read_clients_again(synced_engine, [LEADS], [min(source.world.programme.customers)])
    requests_of(source)
    resumed = synced_engine.begin_command([LEADS], window)
    synced_engine.sync(LEADS, window, command_id=resumed)
    assert not requests_of(source)
    assert statuses(warehouse) == ["finished"]
    assert synced_engine.begin_command([LEADS], window) != resumed


def test_a_sync_is_not_done_with_the_run_of_others_that_ends_before_its_tasks_are_added(
    source: RunningSimulator,
    warehouse: Warehouse,
    settings: Settings,
    synced_engine: SyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source.world.mutate("insert_top", max(source.world.programme.customers))
    start = SyncRun.start
    others = [min(source.world.programme.customers)]

    async def start_late(run: SyncRun, add_tasks: AddTasks) -> bool:
        if others:
            client = others.pop()
            other = SyncEngine(settings, warehouse)
            await asyncio.to_thread(read_clients_again, other, [OPERATIONS], [client])
        return await start(run, add_tasks)

    monkeypatch.setattr(SyncRun, "start", start_late)
    command_id = synced_engine.begin_command([OPERATIONS], _NEWEST)
    report = synced_engine.sync(OPERATIONS, _NEWEST, command_id=command_id)
    assert (report.clients, report.rows_written) == (40, 1)
    assert statuses(warehouse) == ["finished"]


def test_a_run_that_others_add_tasks_to_while_it_is_published_goes_on(
    source: RunningSimulator,
    warehouse: Warehouse,
    settings: Settings,
    synced_engine: SyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source.world.mutate("insert_top", max(source.world.programme.customers))
    command_id = synced_engine.begin_command([OPERATIONS], _NEWEST)
    joining = [SyncEngine(settings, warehouse)]

    def finish_late(*values: Any, **named: Any) -> bool:
        if joining:
            joining.pop().start(OPERATIONS, _NEWEST, command_id=command_id)
        return finish_run(*values, **named)

    monkeypatch.setattr(sync_run, "finish_run", finish_late)
    read_clients_again(synced_engine, [OPERATIONS], [min(source.world.programme.customers)])
    report = synced_engine.publish(OPERATIONS, _NEWEST, command_id=command_id)
    assert (report.clients, report.pending, report.rows_written) == (40, 0, 1)


def test_a_client_that_changes_during_each_publish_is_reported_as_pending(
    source: RunningSimulator,
    synced_engine: SyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = min(source.world.programme.customers)

    def publish_after_another(session: psycopg.Connection, *values: Any, **named: Any) -> Any:
        session.execute(
            "update sync.client_state set version = version + 1"
            " where feed = 'operations' and client_id = %s",
            (client,),
        )
        return publish(session, *values, **named)

    monkeypatch.setattr(sync_run, "publish", publish_after_another)
    report = synced_engine.sync(OPERATIONS, _NEWEST)
    assert (report.clients, report.pending, report.is_complete) == (40, 1, False)


def test_a_reading_is_fresh_once_its_window_has_ended_or_while_it_is_of_today() -> None:
    window = Window(date(2026, 3, 1), date(2026, 3, 2))
    much_later = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert window.fresh_from(much_later, ZONE) == datetime(2026, 3, 3, tzinfo=ZONE)
    on_its_last_day = datetime(2026, 3, 2, 12, tzinfo=ZONE)
    assert window.fresh_from(on_its_last_day, ZONE) == datetime(2026, 3, 2, tzinfo=ZONE)


def test_start_read_and_publish_in_separate_processes_equal_one_sync(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    command_id = SyncEngine(settings, warehouse).begin_command(FEEDS, MARCH)
    SyncEngine(settings, warehouse).sync(FEEDS[0], MARCH, command_id=command_id)
    readers = settings.model_copy(update={"readers": 3, "concurrency": 4})
    for feed in CLIENT_FEEDS:
        SyncEngine(settings, warehouse).start(feed, MARCH, command_id=command_id)

        def read(_: int, feed: Feed = feed) -> int:
            return SyncEngine(readers, warehouse).read(feed, MARCH).tasks

        with ThreadPoolExecutor(3) as pool:
            shares = list(pool.map(read, range(3)))
        report = SyncEngine(settings, warehouse).publish(feed, MARCH, command_id=command_id)
        # The start reads one client to find out how the endpoint pages.
        assert report.clients - 1 <= sum(shares) <= report.clients
        assert sum(share > 0 for share in shares) > 1
        assert report.is_complete
    assert statuses(warehouse) == ["finished"]
    assert_exact(source, warehouse, last=MARCH.last)


def test_concurrent_readers_request_no_client_twice(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    SyncEngine(settings, warehouse).sync(FEEDS[0], MARCH)
    SyncEngine(settings, warehouse).start(LEADS, MARCH)
    source.service.traffic.reset()
    readers = settings.model_copy(update={"readers": 4, "concurrency": 2})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: SyncEngine(readers, warehouse).read(LEADS, MARCH), range(4)))
    requests = Counter(one["Client"] for one in source.service.traffic.recent())
    with_leads = {row["Client"] for row in source.world.truth()["leads"]}
    assert len(requests) >= 39
    # One response proves that there are no rows; rows may need more requests.
    assert {count for client, count in requests.items() if client not in with_leads} == {1}


def test_a_command_joins_an_equal_one_that_is_running(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    SyncEngine(settings, warehouse).sync(FEEDS[0], MARCH)
    source.service.traffic.reset()
    barrier = threading.Barrier(2)

    def sync(_: int) -> int:
        engine = SyncEngine(settings, warehouse)
        command_id = engine.begin_command([OPERATIONS], MARCH)
        barrier.wait()
        return engine.sync(OPERATIONS, MARCH, command_id=command_id).clients

    with ThreadPoolExecutor(2) as pool:
        clients = list(pool.map(sync, range(2)))
    assert clients[0] == clients[1]
    with warehouse.connect() as session:
        runs = session.execute("select count(*) from sync.runs where feed = 'operations'")
        assert runs.fetchone() == (1,)
    for feed in FEEDS:
        SyncEngine(settings, warehouse).sync(feed, MARCH)
    assert_exact(source, warehouse, last=MARCH.last)


@pytest.mark.slow
@pytest.mark.parametrize("publisher", [0, 1], ids=["the first", "the last"])
def test_commands_that_share_a_run_are_all_done_with_it(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings, publisher: int
) -> None:
    """One of more feeds than the other; the run has the number of the last one that joined it."""
    engine = SyncEngine(settings, warehouse)
    began = datetime.now(UTC)
    engine.sync(FEEDS[0], MARCH)
    commands = [engine.begin_command(feeds, MARCH) for feeds in ([OPERATIONS, LEADS], [OPERATIONS])]
    for command_id in commands:
        engine.start(OPERATIONS, MARCH, command_id=command_id)
    report = engine.publish(OPERATIONS, MARCH, command_id=commands[publisher])
    assert report.is_complete
    requests_of(source)
    for command_id in commands:
        assert engine.publish(OPERATIONS, MARCH, command_id=command_id).clients == report.clients
        assert engine.sync(OPERATIONS, MARCH, command_id=command_id).clients == report.clients
    assert not requests_of(source)
    assert statuses(warehouse) == ["running", "finished"]
    engine.sync(LEADS, MARCH, command_id=commands[0])
    assert statuses(warehouse) == ["finished", "finished"]
    assert [one.feed for one in engine.reports(commands[0], MARCH, since=began)] == [
        "operations",
        "leads",
    ]
    # The next ones read again.
    again = engine.begin_command([OPERATIONS], MARCH)
    assert again not in commands
    engine.sync(OPERATIONS, MARCH, command_id=again)
    assert requests_of(source)["OperationHistory"] >= 40


def test_a_step_without_a_run_reports_what_to_do(warehouse: Warehouse, settings: Settings) -> None:
    engine = SyncEngine(settings, warehouse)
    assert engine.read(LEADS, MARCH).tasks == 0
    with pytest.raises(SyncError, match="no run was begun"):
        engine.publish(LEADS, MARCH)


def test_claims_with_a_lost_response_are_read_before_the_publish(
    source: RunningSimulator, warehouse: Warehouse, settings: Settings
) -> None:
    """The claim was committed, and the session died before the response arrived."""
    SyncEngine(settings, warehouse).sync(FEEDS[0], MARCH)
    cut: list[int] = []

    def claim_and_lose(session: Any, run: Any, **values: Any) -> list[Task]:
        found = claim_tasks(session, run, **values)
        # Not the few that the start reads to find out how the endpoint pages.
        if len(found) > 3 and not cut:
            cut.append(len(found))
            raise psycopg.OperationalError("the response was lost")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lcm_pipeline.warehouse.ingest.tasks.claim_tasks", claim_and_lose)
        report = SyncEngine(settings, warehouse).sync(LEADS, MARCH)
    assert cut
    assert report.is_complete
    with warehouse.connect() as session:
        published = session.execute(
            "select count(*) from sync.fetches where status <> 'published'"
        ).fetchone()
    assert published == (0,)
