"""Locks that every sync needs: nobody holds them but who may write, and they wait in order."""

import threading

import psycopg
import pytest

from lcm_pipeline.warehouse import lock_waits, locks, sessions
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import WarehouseLockedError
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from tests.conftest import MakeSettings, Programme
from tests.syncing import sync_everything

TABLES = (locks.PUBLISH, locks.REFRESH, locks.PARTITIONS, locks.REQUEST_SLOTS)
# What earlier versions took for the same, and every login can hold.
ADVISORY = (0x6C636D02, 0x6C636D03, 0x6C636D04, 0x6C636D05)


def test_a_login_for_bi_blocks_no_sync_whatever_it_holds(
    warehouse: Warehouse, programme: Programme, make_settings: MakeSettings
) -> None:
    settings = make_settings(programme(clients=4), warehouse, max_in_flight=4)
    with warehouse.connect(autocommit=True, application_name="a dashboard") as meddler:
        meddler.execute("set role lcm_bi")
        for number in ADVISORY:
            meddler.execute("select pg_advisory_lock(%s)", (number,))
        for name in TABLES:
            for mode in ("access share", "exclusive"):
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                    meddler.transaction(),
                ):
                    meddler.execute(f"lock table sync.{name} in {mode} mode".encode())
        reports = sync_everything(settings, warehouse)
        refresh_marts(warehouse)
    assert reports["operations"].rows_written > 0


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
                locks.alone(session, locks.PUBLISH),
            ):
                pass


def test_who_waited_has_a_now_after_who_was_first(warehouse: Warehouse) -> None:
    moments: list[object] = []

    def come_second() -> None:
        with (
            warehouse.connect(autocommit=True, application_name="second") as second,
            locks.alone(second, locks.PUBLISH),
        ):
            moments.append(second.execute("select now()").fetchone())

    with warehouse.connect(autocommit=True) as first:
        with locks.alone(first, locks.PUBLISH):
            waiting = threading.Thread(target=come_second)
            waiting.start()
            with warehouse.connect(autocommit=True) as looking:
                while not looking.execute(
                    "select 1 from pg_stat_activity"
                    " where application_name = 'second' and wait_event_type = 'Lock'"
                ).fetchone():
                    pass
            moments.append(first.execute("select clock_timestamp()").fetchone())
        waiting.join()
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert len(moments) == 2


def test_who_waits_says_who_holds_it_and_the_lock_ends_with_its_session(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "_CHECK_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "_PAUSES", (0.1,))

    def publish(session: psycopg.Connection) -> None:
        session.execute("set lock_timeout = '4s'")
        with locks.alone(session, locks.PUBLISH):
            pass

    holder = warehouse.connect(application_name="lcm sync leads")
    locks.hold(holder, locks.PUBLISH)
    with ReconnectingSession(warehouse, "lcm sync operations") as waiting:
        with pytest.raises(WarehouseLockedError, match="application lcm sync leads"):
            waiting.run(publish)
        holder.close()
        waiting.run(publish)
