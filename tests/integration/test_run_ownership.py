"""Several processes read one run: each task is claimed by one, also if others end."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date

import psycopg
import pytest

from lcm_pipeline.feeds import LEADS, OPERATIONS, REGISTRATIONS
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import (
    Run,
    RunLostError,
    begin_command,
    begin_run,
    close_run,
    finish_run,
    record_failure,
    stop_run,
)
from lcm_pipeline.warehouse.ingest.tasks import claim_tasks, pending_elsewhere
from lcm_pipeline.warehouse.ingest.watching import silent_readers
from lcm_pipeline.warehouse.queries import query
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.crash.fault_cases import Saboteur
from tests.crash.taps import TappedWarehouse, tapped_api
from tests.databases import backend_of, cut, fetch_rows
from tests.integration.embedded_users import SOURCES
from tests.waiting import wait_for

DAYS = Window(date(2026, 3, 1), date(2026, 3, 2))


@contextmanager
def joined(warehouse: Warehouse, feed: str = "leads") -> Iterator[tuple[ReconnectingSession, Run]]:
    with ReconnectingSession(warehouse, "lcm test") as reconnecting:
        yield reconnecting, begin_run(reconnecting, feed, DAYS, Pseudonyms())


_LOCKS_HELD = """
select from pg_locks join pg_database on pg_database.oid = pg_locks.database
where datname = current_database() and locktype = 'advisory'
"""

_BUSY = """
import sys
from datetime import date
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.sessions import ReconnectingSession

with ReconnectingSession(Warehouse(sys.argv[1]), "lcm test") as lasting:
    begin_run(lasting, "leads", Window(date(2026, 3, 1), date(2026, 3, 2)), Pseudonyms())
    lasting.run(lambda session: session.execute("select pg_sleep(3600)"))
"""


def test_a_reader_killed_in_a_long_statement_releases_its_claims_at_once(
    warehouse: Warehouse,
) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "do $$ begin execute format('alter database %I"
            " set client_connection_check_interval = 0', current_database()); end $$"
        )
    owner = subprocess.Popen(
        [sys.executable, "-c", _BUSY, warehouse.url], cwd=SOURCES, stdout=subprocess.PIPE
    )
    asleep = "select from pg_stat_activity where query like '%pg_sleep(3600)' and state = 'active'"
    wait_for(lambda: bool(fetch_rows(warehouse, asleep)))
    owner.kill()
    owner.communicate()
    # Long before the statement would end by itself.
    wait_for(lambda: not fetch_rows(warehouse, _LOCKS_HELD))


def test_a_process_that_is_stopped_in_the_middle_of_a_run_is_found(warehouse: Warehouse) -> None:
    """As by Ctrl-Z: its session lives, and the run waits for it."""
    with joined(warehouse) as (reconnecting, run), joined(warehouse) as (working, _):
        command_id = reconnecting.run(lambda s: begin_command(s, ["leads"], DAYS))
        values = {"run_id": run.run_id, "command_id": command_id}
        reconnecting.run(lambda s: s.execute(query("assign_run"), values))
        stopped = backend_of(reconnecting)

        def silent_pids() -> list[int]:
            working.run(lambda s: s.execute("select"))
            return [one.pid for one in silent_readers(warehouse, command_id, 1.0)]

        wait_for(lambda: silent_pids() == [stopped])
        assert silent_readers(warehouse, command_id, 3600) == []


def add_clients(reconnecting: ReconnectingSession, run: Run, count: int) -> None:
    reconnecting.run(
        lambda s: s.execute(
            "insert into sync.fetches (run_id, client_id) select %s, generate_series(1, %s)",
            (run.run_id, count),
        )
    )


def claimed(reconnecting: ReconnectingSession, run: Run, most: int = 100) -> list[int | None]:
    found = reconnecting.run(lambda s: claim_tasks(s, run, after=None, most=most))
    return [task.client_id for task in found]


def test_an_unfinished_run_is_resumed_by_the_next_process(warehouse: Warehouse) -> None:
    with joined(warehouse) as (_, first):
        assert not first.is_resumed
    with joined(warehouse) as (_, second):
        assert (second.run_id, second.is_resumed) == (first.run_id, True)


def test_a_process_joins_the_run_of_a_living_process(warehouse: Warehouse) -> None:
    with joined(warehouse) as (_, first), joined(warehouse) as (_, second):
        assert (second.run_id, second.is_resumed) == (first.run_id, True)


def test_processes_that_start_at_once_share_one_run(warehouse: Warehouse) -> None:
    barrier = threading.Barrier(6)

    def join(stack: ExitStack) -> Run:
        reconnecting = stack.enter_context(ReconnectingSession(warehouse, "lcm test"))
        barrier.wait()
        return begin_run(reconnecting, "leads", DAYS, Pseudonyms())

    with ExitStack() as stack, ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(join, [stack] * 6))
    assert len({run.run_id for run in runs}) == 1
    assert sum(not run.is_resumed for run in runs) == 1


def test_each_task_is_claimed_by_one_reader(warehouse: Warehouse) -> None:
    with joined(warehouse) as (one, run), joined(warehouse) as (other, _):
        add_clients(one, run, 10)
        assert claimed(one, run, most=4) == [1, 2, 3, 4]
        assert claimed(other, run) == [5, 6, 7, 8, 9, 10]
        assert claimed(one, run) == claimed(other, run) == []
        elsewhere = one.run(lambda session: pending_elsewhere(session, run))
        assert elsewhere is not None
        assert (elsewhere.tasks, elsewhere.pid) == (6, backend_of(other))


def test_concurrent_readers_never_claim_the_same_task(warehouse: Warehouse) -> None:
    with joined(warehouse) as (one, run):
        add_clients(one, run, 2_000)
        # Claims of a lost session make the others look at which sessions are alive.
        one.run(
            lambda session: session.execute(
                "update sync.fetches set claimed_by = 2147483647 where task_id <= 50"
            )
        )
    barrier = threading.Barrier(4)

    def read(stack: ExitStack) -> list[int | None]:
        reconnecting = stack.enter_context(ReconnectingSession(warehouse, "lcm test"))
        joined_run = begin_run(reconnecting, "leads", DAYS, Pseudonyms())
        barrier.wait()
        mine: list[int | None] = []
        after = None
        while chunk := reconnecting.run(
            lambda session, after=after: claim_tasks(session, joined_run, after=after, most=4)
        ):
            after = chunk[-1]
            mine += [task.client_id for task in chunk]
        return mine

    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        chunks = list(pool.map(read, [stack] * 4))
    assert sorted(client or 0 for chunk in chunks for client in chunk) == list(range(1, 2_001))


def test_the_tasks_of_a_lost_reader_are_claimed_by_others(warehouse: Warehouse) -> None:
    with joined(warehouse) as (one, run):
        add_clients(one, run, 3)
        with joined(warehouse) as (other, _):
            assert claimed(other, run) == [1, 2, 3]
            assert claimed(one, run) == []
            cut(warehouse, backend_of(other))
            wait_for(lambda: claimed(one, run) == [1, 2, 3])


def test_a_reader_that_loses_its_session_keeps_its_claims(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, run), joined(warehouse) as (other, _):
        add_clients(reconnecting, run, 3)
        assert claimed(reconnecting, run) == [1, 2, 3]
        before = backend_of(reconnecting)
        cut(warehouse, before)
        assert backend_of(reconnecting) != before
        assert claimed(other, run) == []


def test_a_run_of_another_feed_or_window_is_not_resumed(warehouse: Warehouse) -> None:
    with joined(warehouse, "leads"):
        pass
    with joined(warehouse, "operations") as (_, run):
        assert not run.is_resumed


def test_a_run_is_resumed_whatever_its_age(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, old):
        reconnecting.run(
            lambda s: s.execute("update sync.runs set started_at = now() - interval '90 days'")
        )
    with joined(warehouse) as (_, new):
        assert (new.run_id, new.is_resumed) == (old.run_id, True)


_COVERED = (
    "with command as (insert into sync.commands (feeds, window_from, window_to)"
    " values ('{leads}', '2026-03-02', '2026-03-02') returning command_id)"
    " insert into sync.runs (feed, window_from, window_to, status, started_at, command_id)"
    " select 'leads', '2026-03-02', '2026-03-02', 'published', now() + interval '1 hour',"
    " command_id from command"
)


def test_a_run_covered_by_a_later_one_is_abandoned(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, old):
        reconnecting.run(
            lambda s: s.execute(f"create table staging.leads_r{old.run_id} ()".encode())
        )
        reconnecting.run(lambda s: s.execute(_COVERED.encode()))
        with joined(warehouse) as (_, same):
            assert same.run_id == old.run_id
    # The server may end a closed session with a short delay.
    wait_for(lambda: not fetch_rows(warehouse, _LOCKS_HELD))
    with joined(warehouse) as (_, new):
        assert not new.is_resumed
    assert fetch_rows(warehouse, "select status from sync.runs order by run_id") == [
        ("abandoned",),
        ("published",),
        ("reading",),
    ]
    assert fetch_rows(warehouse, "select from pg_tables where schemaname = 'staging'") == []


def test_a_lost_session_that_the_server_still_holds_is_ended(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, _):
        ghost = reconnecting._session
        assert ghost is not None
        reconnecting._session = None
        assert reconnecting.run(lambda s: s.execute("select 1").fetchone()) == (1,)
        with pytest.raises(psycopg.OperationalError):
            ghost.execute("select 1")


def test_a_reader_of_a_run_that_has_ended_writes_nothing_more(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, run):
        lost = reconnecting._session
        assert lost is not None
        lost.close()
        with joined(warehouse) as (other, same):
            finish_run(other, same, None, leaves_tasks=True)
        with pytest.raises(RunLostError):
            reconnecting.run(lambda s: s.execute("update sync.runs set requests = 7"))
        with pytest.raises(RunLostError):
            stop_run(reconnecting, run, "too late")
    assert fetch_rows(warehouse, "select status, requests from sync.runs") == [("published", 0)]


def test_a_close_with_a_lost_response_counts_as_done(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, run):
        reconnecting.run(lambda session: close_run(session, run, "published"))
        cut(warehouse, backend_of(reconnecting))
        assert finish_run(reconnecting, run, None, leaves_tasks=True)
    assert fetch_rows(warehouse, "select status from sync.runs") == [("published",)]


def test_a_stop_with_a_lost_response_counts_as_done(warehouse: Warehouse) -> None:
    with joined(warehouse) as (reconnecting, run):
        reconnecting.run(lambda session: close_run(session, run, "stopped", "too few rows"))
        cut(warehouse, backend_of(reconnecting))
        stop_run(reconnecting, run, "too few rows")
    assert fetch_rows(warehouse, "select status, error from sync.runs") == [
        ("stopped", "too few rows")
    ]


class _BeforePublish(Saboteur):
    """Calls a function once, right before the first publish takes its lock."""

    def __init__(self, action: object) -> None:
        super().__init__()
        self.action = action

    def before(self, text: str, session: psycopg.Connection) -> None:
        if 'lock table "sync"."publish_lock"' in text and callable(self.action):
            action, self.action = self.action, None
            action()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.errors.DeadlockDetected, "DeadlockDetected (SQLSTATE 40P01)"),
        (psycopg.errors.SerializationFailure, "SerializationFailure (SQLSTATE 40001)"),
        # The warehouse is away, and so it cannot store a reason.
        (psycopg.OperationalError, None),
    ],
)
def test_a_conflict_that_no_retry_overcame_is_recorded(
    warehouse: Warehouse, error: type[psycopg.Error], reason: str | None
) -> None:
    with joined(warehouse) as (reconnecting, run):
        record_failure(reconnecting, run, error())
    with warehouse.connect() as session:
        (stored,) = session.execute("select error from sync.runs").fetchall()
    assert stored == (f"the warehouse failed: {reason}" if reason else None,)


def test_an_older_reading_does_not_undo_a_newer_one(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=12)
    settings = make_settings(source, warehouse, audit_share=1.0)
    window = Window(date(2026, 3, 1), date(2026, 3, 30))
    engine = SyncEngine(settings, warehouse)
    engine.sync(OPERATIONS, window)
    truth = "select client_id, operation_id, deleted_at from core.operations order by 1, 2"
    before = fetch_rows(warehouse, truth)
    client = source.world.truth()["operations"][0]["Client"]

    def change_back_and_sync() -> None:
        source.world.mutate("delete_oldest", client)
        # Other days: the same command would join the run.
        engine.sync(OPERATIONS, Window(date(2026, 3, 2), date(2026, 3, 30)))

    source.world.mutate("insert_tail", client)
    before_publish = _BeforePublish(change_back_and_sync)
    tapped = TappedWarehouse(warehouse.url, before_publish)
    SyncEngine(settings, tapped, open_api=tapped_api(before_publish)).sync(OPERATIONS, window)
    assert before_publish.action is None
    assert fetch_rows(warehouse, truth) == before


def test_a_sync_whose_run_was_taken_over_reports_it(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=5), warehouse)
    window = Window(date(2026, 3, 1), date(2026, 3, 30))
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, window)

    def take() -> None:
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where application_name = 'lcm sync leads' and datname = current_database()"
            )
            session.execute("update sync.runs set status = 'abandoned' where feed = 'leads'")

    before_publish = _BeforePublish(take)
    tapped = TappedWarehouse(warehouse.url, before_publish)
    with pytest.raises(SyncError, match="another process"):
        SyncEngine(settings, tapped, open_api=tapped_api(before_publish)).sync(LEADS, window)


def test_a_run_restored_without_its_staging_is_read_again(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """As from a dump that excludes these tables, which the how-to on backups asks for."""
    source = programme(clients=12)
    settings = make_settings(source, warehouse)
    window = Window(date(2026, 3, 1), date(2026, 3, 30))
    SyncEngine(settings, warehouse).sync(REGISTRATIONS, window)

    def stop() -> None:
        raise InterruptedError

    before_publish = _BeforePublish(stop)
    tapped = TappedWarehouse(warehouse.url, before_publish)
    with pytest.raises(InterruptedError):
        SyncEngine(settings, tapped, open_api=tapped_api(before_publish)).sync(LEADS, window)
    with warehouse.connect(autocommit=True) as session:
        staged = session.execute("select count(*) from staging.leads_r2").fetchone()
        session.execute("drop table staging.leads_r2")
    assert staged
    assert staged[0] > 0
    SyncEngine(settings, warehouse).sync(LEADS, window)
    stored = fetch_rows(warehouse, "select count(*) from core.leads where deleted_at is null")
    assert stored == [staged]
