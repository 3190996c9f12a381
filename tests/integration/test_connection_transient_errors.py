"""Transient and permanent errors of the database, caused on a real server."""

from collections.abc import Iterator

import psycopg
import pytest

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.transient_errors import is_transient
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with embedded_postgres(tmp_path_factory.mktemp("home") / ".lcm") as url:
        warehouse = Warehouse(url)
        with warehouse.connect() as session:
            session.execute("create table counters (name text primary key, number integer)")
            session.execute("insert into counters values ('one', 0), ('two', 0)")
        yield warehouse


def test_a_serialization_failure_is_transient(warehouse: Warehouse) -> None:
    with warehouse.connect() as first, warehouse.connect() as second:
        first.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        first.execute("select * from counters").fetchall()
        second.execute("update counters set number = number + 1")
        second.commit()
        with pytest.raises(psycopg.Error) as failure:
            first.execute("update counters set number = number + 1")
    assert is_transient(failure.value)


def test_a_lock_time_out_is_transient(warehouse: Warehouse) -> None:
    with warehouse.connect() as first, warehouse.connect() as second:
        first.execute("lock table counters")
        second.execute("set local lock_timeout = '10ms'")
        with pytest.raises(psycopg.Error) as failure:
            second.execute("select * from counters")
    assert is_transient(failure.value)


def test_a_terminated_session_is_transient(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as operator, warehouse.connect() as ended:
        operator.execute("select pg_terminate_backend(%s, 5000)", [ended.info.backend_pid])
        with pytest.raises(psycopg.Error) as failure:
            ended.execute("select 1")
        with pytest.raises(psycopg.Error) as afterwards:
            ended.execute("select 1")
    assert is_transient(failure.value)
    assert is_transient(afterwards.value)


def test_a_transaction_that_stood_idle_too_long_is_transient(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as operator, warehouse.connect() as idle:
        idle.execute("set idle_in_transaction_session_timeout = '10ms'")
        wait_for(
            lambda: (
                not operator.execute(
                    "select from pg_stat_activity where pid = %s", [idle.info.backend_pid]
                ).fetchall()
            )
        )
        # On a busy machine libpq may find the socket closed before it reads the server's message.
        with pytest.raises(psycopg.Error) as failure:
            idle.execute("select 1")
    assert is_transient(failure.value)
    assert is_transient(psycopg.errors.IdleInTransactionSessionTimeout())


def test_too_many_connections_is_transient(warehouse: Warehouse) -> None:
    with warehouse.connect() as session:
        session.execute("create role few login connection limit 0")
    with pytest.raises(psycopg.Error) as failure:
        psycopg.connect(warehouse.url.replace("lcm@", "few@"))
    assert is_transient(failure.value)


def test_a_missing_database_is_permanent(warehouse: Warehouse) -> None:
    with pytest.raises(psycopg.Error) as failure:
        Warehouse(warehouse.url.replace("/lcm?", "/absent?")).connect()
    assert not is_transient(failure.value)


def test_errors_in_rows_and_statements_are_permanent(warehouse: Warehouse) -> None:
    for statement in ("select absent", "insert into counters values ('one', 1)", "select 1 / 0"):
        with warehouse.connect() as session, pytest.raises(psycopg.Error) as failure:
            session.execute(statement)
        assert not is_transient(failure.value)


def test_a_deadlock_is_transient_and_a_full_disk_is_not() -> None:
    assert is_transient(psycopg.errors.DeadlockDetected())
    assert is_transient(psycopg.errors.CannotConnectNow())
    assert is_transient(psycopg.errors.ConnectionFailure())
    assert not is_transient(psycopg.errors.DiskFull())
    assert not is_transient(psycopg.errors.ProtocolViolation())
    assert not is_transient(psycopg.ProgrammingError())
