"""Locks that a sync, a push or a migration needs: only who may write holds them, in turn."""

import threading
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import psycopg
import pytest

from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.warehouse import lock_waits, locks, sessions
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import WarehouseLockedError
from lcm_pipeline.warehouse.ingest.runs import begin_run
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import grant_missing_rights, migrate
from lcm_pipeline.warehouse.privacy.rewriting import one_rewrite_at_a_time, require_quiet
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.integration.postgres_users import address, tenant
from tests.outbox import ask_for, write_back
from tests.syncing import MARCH, sync_everything
from tests.waiting import wait_for

TABLES = (locks.PUBLISH, locks.REFRESH, locks.PARTITIONS, locks.REQUEST_SLOTS, locks.SESSION)
# What earlier versions took for the same, and every login can hold.
ADVISORY = (0x6C636D01, 0x6C636D02, 0x6C636D03, 0x6C636D04, 0x6C636D05)
# Those of a session: of the first runs, of the push, of a rewrite.
OF_SESSIONS = (*((0x6C636D, run_id) for run_id in range(1, 20)), (0x6C6370, 1), (0x6C6372, 1))


@pytest.fixture
def meddler(warehouse: Warehouse) -> Iterator[psycopg.Connection]:
    """A login for BI that holds all advisory locks that it can think of."""
    name = "meddler"
    with warehouse.connect(autocommit=True) as session:
        session.execute(f"create role {name} login in role lcm_bi".encode())
        with psycopg.connect(address(warehouse.url, user=name), autocommit=True) as held:
            for number in ADVISORY:
                held.execute("select pg_advisory_lock(%s)", (number,))
            for key in OF_SESSIONS:
                held.execute("select pg_advisory_lock(%s, %s)", key)
            yield held
        session.execute(f"drop role {name}".encode())


def test_a_login_for_bi_blocks_no_sync_no_push_and_no_migration_whatever_it_holds(
    meddler: psycopg.Connection,
    warehouse: Warehouse,
    programme: Programme,
    make_settings: MakeSettings,
) -> None:
    source = programme(clients=4)
    # Sync and push share a rate, so each waits while the other seems to be under way.
    settings = make_settings(source, warehouse, max_in_flight=4, max_rps=200.0)
    for name in (*(f"sync.{name}" for name in TABLES), "public.lcm_migrations"):
        for mode in ("access share", "exclusive"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), meddler.transaction():
                meddler.execute(f"lock table {name} in {mode} mode".encode())
    reports = sync_everything(settings, warehouse)
    refresh_marts(warehouse)
    assert reports["operations"].rows_written > 0
    ask_for(warehouse, [(min(source.world.programme.customers), {"name": "Анна"})])
    assert write_back(settings, warehouse).push().sent == 1
    with warehouse.connect(autocommit=True) as session:
        session.execute("update public.lcm_marts set checksum = '' where name = 'card_mix'")
    assert migrate(warehouse) == ["mart.card_mix"]
    grant_missing_rights(warehouse)


def test_a_lock_of_a_login_for_bi_looks_like_no_work_of_ours(
    meddler: psycopg.Connection, warehouse: Warehouse
) -> None:
    with ReconnectingSession(warehouse, "lcm sync leads") as ours:
        run = begin_run(ours, "leads", MARCH, Pseudonyms())
        # It can see the keys that are held, and hold them as well.
        keys = meddler.execute(
            "select classid::int, objid::int from pg_locks"
            " where locktype = 'advisory' and objsubid = 2 and pid <> pg_backend_pid()"
        ).fetchall()
        assert len(keys) == 1
        for key in [*keys, (0x6C636D, 30), (0x6C6370, 2)]:
            meddler.execute("select pg_advisory_lock_shared(%s, %s)", key)
        [known] = ours.run(
            lambda session: session.execute("select * from sync.session_locks").fetchall()
        )
        assert known[:2] == ("run", run.run_id)
    with warehouse.connect(autocommit=True) as session:
        # The server process of a closed session ends a moment later.
        wait_for(lambda: not session.execute("select * from sync.session_locks").fetchall())
        with one_rewrite_at_a_time(session, "lcm test"), session.transaction():
            require_quiet(session)


def test_a_session_takes_another_key_where_one_is_held(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = chain([5, 5, 5], repeat(6))
    monkeypatch.setattr(locks, "randbelow", lambda most: next(numbers))
    with warehouse.connect(autocommit=True) as other, warehouse.connect(autocommit=True) as ours:
        other.execute("select pg_advisory_lock(216 * 8388608 + 5, 7)")
        locks.acquire_session_lock(ours, "run", 7)
        seen = "select kind, lock_id, session_pid = pg_backend_pid() from sync.session_locks"
        assert ours.execute(f"{seen} order by 3".encode()).fetchall() == [
            ("run", 7, False),
            ("run", 7, True),
        ]
        locks.release_session_lock(ours, "run", 7)
        assert ours.execute(seen.encode()).fetchall() == [("run", 7, False)]


def test_a_login_for_monitoring_cannot_hold_them_either(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as meddler:
        meddler.execute("set role lcm_monitor")
        for name in TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), meddler.transaction():
                meddler.execute(f"lock table sync.{name} in exclusive mode".encode())
        with meddler.transaction():
            # What it may read, it may lock as a reader does: that keeps nobody out.
            meddler.execute("lock table sync.publish_lock in access share mode")
            with (
                warehouse.connect(autocommit=True) as session,
                locks.exclusive(session, locks.PUBLISH),
            ):
                pass


def test_who_waited_has_a_now_after_who_was_first(warehouse: Warehouse) -> None:
    moments: list[object] = []

    def come_second() -> None:
        with (
            warehouse.connect(autocommit=True, application_name="second") as second,
            locks.exclusive(second, locks.PUBLISH),
        ):
            moments.append(second.execute("select now()").fetchone())

    with warehouse.connect(autocommit=True) as first:
        with locks.exclusive(first, locks.PUBLISH):
            waiting = threading.Thread(target=come_second)
            waiting.start()
            with warehouse.connect(autocommit=True) as looking:
                is_waiting = (
                    "select 1 from pg_stat_activity"
                    " where application_name = 'second' and wait_event_type = 'Lock'"
                )
                wait_for(lambda: looking.execute(is_waiting).fetchone())
            moments.append(first.execute("select clock_timestamp()").fetchone())
        waiting.join()
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert len(moments) == 2


def test_many_who_wait_take_a_lock_in_turn(warehouse: Warehouse) -> None:
    """Each found it taken again by the next one, when they waited for it in exclusive mode."""
    sessions, rounds, most_statements = 16, 3, 2_000
    together = threading.Barrier(sessions)
    done: list[int] = []

    class Bounded(psycopg.Connection[Any]):
        statements = 0

        def execute(self, *args: Any, **fields: Any) -> Any:
            self.statements += 1
            assert self.statements < most_statements, "the lock is passed on for ever"
            return super().execute(*args, **fields)

    def take_turns() -> None:
        with Bounded.connect(warehouse.url, autocommit=True) as session:
            together.wait()
            for _ in range(rounds):
                with locks.exclusive(session, locks.PUBLISH):
                    pass
            done.append(session.statements)

    threads = [threading.Thread(target=take_turns) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == sessions


def test_who_waits_says_who_holds_it_and_the_lock_ends_with_its_session(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "_CHECK_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "_PAUSES", (0.1,))

    def publish(session: psycopg.Connection) -> None:
        session.execute("set lock_timeout = '4s'")
        with locks.exclusive(session, locks.PUBLISH):
            pass

    holder = warehouse.connect(application_name="lcm sync leads")
    locks.hold(holder, locks.PUBLISH)
    with ReconnectingSession(warehouse, "lcm sync operations") as waiting:
        with pytest.raises(WarehouseLockedError, match="application lcm sync leads"):
            waiting.run(publish)
        holder.close()
        waiting.run(publish)


def test_a_migration_is_repeated_where_that_of_another_database_changes_a_role(
    postgres: str, template: str
) -> None:
    """Two programmes on one server, each at its first sync: the roles belong to the server."""
    set_timeout = "alter role lcm_bi set statement_timeout = '60s'"
    with tenant(postgres) as made, psycopg.connect(postgres) as other:
        other.execute(set_timeout)
        warehouse = Warehouse(address(postgres, database=made.database))
        migrated: list[list[str]] = []
        thread = threading.Thread(target=lambda: migrated.append(migrate(warehouse)))
        thread.start()
        _wait_for_blocked(postgres, by=other.info.backend_pid)
        other.commit()
        thread.join()
    assert "0006_create_roles.sql" in migrated[0]
    assert migrated[0] == list(dict.fromkeys(migrated[0]))


def _wait_for_blocked(postgres: str, by: int) -> None:
    waits = "select from pg_stat_activity where %s = any(pg_blocking_pids(pid))"
    with psycopg.connect(postgres, autocommit=True) as session:
        wait_for(lambda: session.execute(waits, [by]).fetchone() is not None)
