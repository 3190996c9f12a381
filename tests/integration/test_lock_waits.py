"""A session that waits for a lock reports which sessions hold it."""

import logging

import psycopg
import pytest

from lcm_pipeline.warehouse import lock_waits, sessions
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import WarehouseLockedError
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_WAIT = "lock table core.leads in access exclusive mode"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "_CHECK_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "_PAUSES", (0.1,))


def _wait_for_a_lock(session: psycopg.Connection) -> None:
    session.execute("set lock_timeout = '4s'")
    with session.transaction():
        session.execute(_WAIT)


@pytest.mark.slow
def test_a_statement_that_waits_for_a_lock_logs_the_holder(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with warehouse.connect(application_name="somebody's editor") as holder:
        holder.execute("alter table core.leads add column pondering text")
        with (
            ReconnectingSession(warehouse, "lcm sync leads") as waiting,
            pytest.raises(WarehouseLockedError) as raised,
        ):
            waiting.run(_wait_for_a_lock)
        backend = holder.info.backend_pid
        holder.rollback()
    for text in (caplog.text, str(raised.value)):
        assert f"server process {backend} " in text
        assert "application somebody's editor" in text
    assert "run the same command again" in str(raised.value)


def test_work_that_waits_for_no_lock_logs_nothing(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    with ReconnectingSession(warehouse, "lcm sync leads") as busy:
        busy.run(lambda session: session.execute("select pg_sleep(1)"))
    assert "waits for a lock" not in caplog.text
