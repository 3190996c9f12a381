"""Who owns a run: one process at a time, whatever happens to processes and sessions."""

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
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import Run, RunLostError, acquire_run, close_run, end_run
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.crash.fault_cases import Saboteur
from tests.crash.taps import TappedWarehouse, tapped_api
from tests.integration.embedded_users import SOURCES, eventually

DAYS = Window(date(2026, 3, 1), date(2026, 3, 2))


@contextmanager
def owned(warehouse: Warehouse, feed: str = "leads") -> Iterator[tuple[ReconnectingSession, Run]]:
    with ReconnectingSession(warehouse, "lcm test") as reconnecting:
        yield reconnecting, acquire_run(reconnecting, feed, DAYS)


def backend_of(reconnecting: ReconnectingSession) -> int:
    row = reconnecting.run(lambda session: session.execute("select pg_backend_pid()").fetchone())
    assert row is not None
    return int(row[0])


def cut(warehouse: Warehouse, backend: int) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute("select pg_terminate_backend(%s, 5000)", (backend,))


def rows(warehouse: Warehouse, statement: str) -> list[tuple[object, ...]]:
    with warehouse.connect(autocommit=True) as session:
        return session.execute(statement.encode()).fetchall()


_LOCKS_HELD = """
select from pg_locks join pg_database on pg_database.oid = pg_locks.database
where datname = current_database() and locktype = 'advisory'
"""

_BUSY = """
import sys
from datetime import date
from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import acquire_run
from lcm_pipeline.warehouse.sessions import ReconnectingSession

with ReconnectingSession(Warehouse(sys.argv[1]), "lcm test") as lasting:
    acquire_run(lasting, "leads", Window(date(2026, 3, 1), date(2026, 3, 2)))
    lasting.run(lambda session: session.execute("select pg_sleep(60)"))
"""


def test_an_owner_killed_in_a_long_statement_lets_go_at_once(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "do $$ begin execute format('alter database %I"
            " set client_connection_check_interval = 0', current_database()); end $$"
        )
    owner = subprocess.Popen(
        [sys.executable, "-c", _BUSY, warehouse.url], cwd=SOURCES, stdout=subprocess.PIPE
    )
    asleep = "select from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active'"
    assert eventually(lambda: bool(rows(warehouse, asleep)))
    owner.kill()
    owner.communicate()
    with owned(warehouse) as (_, run):
        assert run.is_resumed


def test_an_unfinished_run_is_taken_over_by_the_next_process(warehouse: Warehouse) -> None:
    with owned(warehouse) as (_, first):
        assert not first.is_resumed
    with owned(warehouse) as (_, second):
        assert (second.run_id, second.is_resumed) == (first.run_id, True)


def test_a_living_owner_keeps_its_run_and_another_begins_its_own(warehouse: Warehouse) -> None:
    with owned(warehouse) as (_, first), owned(warehouse) as (_, second):
        assert second.run_id != first.run_id
        assert not second.is_resumed


def test_many_processes_that_come_at_once_never_share_a_run(warehouse: Warehouse) -> None:
    with owned(warehouse):
        pass
    everyone = threading.Barrier(6)

    def come(stack: ExitStack) -> Run:
        reconnecting = stack.enter_context(ReconnectingSession(warehouse, "lcm test"))
        everyone.wait()
        return acquire_run(reconnecting, "leads", DAYS)

    with ExitStack() as stack, ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(come, [stack] * 6))
    assert len({run.run_id for run in runs}) == 6
    assert sum(run.is_resumed for run in runs) == 1


def test_a_run_of_another_feed_or_window_is_not_taken_over(warehouse: Warehouse) -> None:
    with owned(warehouse, "leads"):
        pass
    with owned(warehouse, "operations") as (_, run):
        assert not run.is_resumed


def test_a_run_older_than_a_day_is_closed_and_begun_anew(warehouse: Warehouse) -> None:
    with owned(warehouse) as (reconnecting, old):
        reconnecting.run(
            lambda s: s.execute(f"create table staging.leads_r{old.run_id} ()".encode())
        )
        reconnecting.run(
            lambda s: s.execute("update sync.runs set started_at = now() - interval '25 hours'")
        )
    # Nobody waits for an old run, and the server may end a closed session a moment later.
    assert eventually(lambda: not rows(warehouse, _LOCKS_HELD))
    with owned(warehouse) as (_, new):
        assert not new.is_resumed
    assert rows(warehouse, "select status from sync.runs order by run_id") == [
        ("abandoned",),
        ("reading",),
    ]
    assert rows(warehouse, "select from pg_tables where schemaname = 'staging'") == []


def test_a_run_that_has_lived_for_a_day_is_not_closed_under_its_owner(
    warehouse: Warehouse,
) -> None:
    with owned(warehouse) as (reconnecting, old):
        reconnecting.run(
            lambda s: s.execute("update sync.runs set started_at = now() - interval '25 hours'")
        )
        with owned(warehouse) as (_, new):
            assert new.run_id != old.run_id
        assert rows(warehouse, "select distinct status from sync.runs") == [("reading",)]


def test_an_owner_that_loses_its_session_locks_its_run_again(warehouse: Warehouse) -> None:
    with owned(warehouse) as (reconnecting, run):
        before = backend_of(reconnecting)
        cut(warehouse, before)
        assert backend_of(reconnecting) != before
        with owned(warehouse) as (_, other):
            assert other.run_id != run.run_id


def test_a_lost_session_that_the_server_still_holds_is_ended(warehouse: Warehouse) -> None:
    with owned(warehouse) as (reconnecting, run):
        ghost = reconnecting._session
        assert ghost is not None
        reconnecting._session = None
        assert reconnecting.run(lambda s: s.execute("select 1").fetchone()) == (1,)
        with pytest.raises(psycopg.OperationalError):
            ghost.execute("select 1")
        with owned(warehouse) as (_, other):
            assert other.run_id != run.run_id


def test_who_lost_its_run_to_another_writes_nothing_more(warehouse: Warehouse) -> None:
    with owned(warehouse) as (reconnecting, run):
        lost = reconnecting._session
        assert lost is not None
        lost.close()
        with owned(warehouse) as (other, taken):
            assert taken.run_id == run.run_id
            with pytest.raises(RunLostError):
                reconnecting.run(lambda s: s.execute("update sync.runs set requests = 7"))
            end_run(other, taken, "published")
        with pytest.raises(RunLostError):
            end_run(reconnecting, run, "stopped", "too late")
    assert rows(warehouse, "select status, requests from sync.runs") == [("published", 0)]


def test_a_close_whose_answer_was_lost_counts_as_done(warehouse: Warehouse) -> None:
    with owned(warehouse) as (reconnecting, run):
        reconnecting.run(lambda session: close_run(session, run, "published"))
        cut(warehouse, backend_of(reconnecting))
        end_run(reconnecting, run, "published")
    assert rows(warehouse, "select status from sync.runs") == [("published",)]


class _Meddler(Saboteur):
    """Does something once, right before the first publish takes its lock."""

    def __init__(self, meddle: object) -> None:
        super().__init__()
        self.meddle = meddle

    def before(self, text: str, session: psycopg.Connection) -> None:
        if "select pg_advisory_lock" in text and callable(self.meddle):
            meddle, self.meddle = self.meddle, None
            meddle()


def test_an_older_reading_that_says_otherwise_does_not_undo_a_newer_one(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=12)
    settings = make_settings(source, warehouse, audit_share=1.0)
    window = Window(date(2026, 3, 1), date(2026, 3, 30))
    engine = SyncEngine(settings, warehouse)
    engine.sync(OPERATIONS, window)
    truth = "select client_id, operation_id, deleted_at from core.operations order by 1, 2"
    before = rows(warehouse, truth)
    client = source.world.truth()["operations"][0]["Client"]

    def change_back_and_sync() -> None:
        source.world.mutate("delete_oldest", client)
        engine.sync(OPERATIONS, window)

    source.world.mutate("insert_tail", client)
    meddler = _Meddler(change_back_and_sync)
    tapped = TappedWarehouse(warehouse.url, meddler)
    SyncEngine(settings, tapped, open_api=tapped_api(meddler)).sync(OPERATIONS, window)
    assert meddler.meddle is None
    assert rows(warehouse, truth) == before


def test_a_sync_whose_run_is_taken_says_so(
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

    meddler = _Meddler(take)
    tapped = TappedWarehouse(warehouse.url, meddler)
    with pytest.raises(SyncError, match="another process"):
        SyncEngine(settings, tapped, open_api=tapped_api(meddler)).sync(LEADS, window)
