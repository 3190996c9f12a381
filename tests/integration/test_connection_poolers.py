"""Behind a pooler: one that shares sessions is refused at the start; session mode works."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse import poolers
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.sessions import ReconnectingSession
from lcm_pipeline.warehouse.transient_errors import is_transient
from tests.commands import run
from tests.conftest import Programme
from tests.integration.pgbouncer import MISSING, WHY_MISSING, pgbouncer
from tests.integration.postgres_users import Tenant, tenant
from tests.oracle import assert_exact
from tests.outbox import ask_for

pytestmark = pytest.mark.skipif(MISSING, reason=WHY_MISSING)

LENIENT = "ignore_startup_parameters = options"
ROUND_ROBIN = "server_round_robin = 1"


@pytest.fixture
def login(postgres: str) -> Iterator[Tenant]:
    with tenant(postgres) as made:
        yield made


@contextmanager
def _pooled(postgres: str, login: Tenant, mode: str, *settings: str) -> Iterator[str]:
    with pgbouncer(postgres, [login.user], mode=mode, settings=settings) as port:
        yield f"postgresql://{login.user}@127.0.0.1:{port}/{login.database}"


@contextmanager
def _busy(url: str, clients: int) -> Iterator[None]:
    """Let other clients use the sessions of the pool meanwhile."""
    ending = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as session:
            while not ending.wait(0.003):
                session.execute("select pg_sleep(0.005)")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("settings", [(), (LENIENT,), (LENIENT, "default_pool_size = 1")])
def test_a_pooler_that_shares_sessions_is_refused_before_any_write(
    mode: str, settings: Sequence[str], postgres: str, login: Tenant, tmp_path: Path
) -> None:
    with _pooled(postgres, login, mode, *settings) as url:
        ended = run(tmp_path, "migrate", LCM_DATABASE_URL=url)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as session:
            # Other clients use the sessions of the pool too: no setting may remain in them.
            left = [
                session.execute(f"show {name}").fetchone()
                for name in ("jit", "lock_timeout", "idle_in_transaction_session_timeout")
            ]
    assert ended.returncode == 2
    assert "pool_mode = session" in ended.stderr
    assert "Postgres itself" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert left == [("off",), ("0",), ("0",)]
    tables = login.owner.execute("select count(*) from pg_class where relname = 'lcm_migrations'")
    assert tables.fetchone() == (0,)


@pytest.mark.parametrize("clients", [0, 1, 2, 9])
@pytest.mark.parametrize("order", [(), (ROUND_ROBIN,)])
def test_a_busy_pooler_in_transaction_mode_is_refused(
    clients: int, order: Sequence[str], postgres: str, login: Tenant
) -> None:
    with (
        _pooled(postgres, login, "transaction", LENIENT, *order) as url,
        _busy(url, clients),
    ):
        for _ in range(10):
            with (
                pytest.raises(WarehouseUnavailableError, match="pool_mode"),
                open_warehouse(load_settings(database_url=url)),
            ):
                pass


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), (LENIENT,)])
def test_a_sync_and_a_push_work_in_session_mode(
    settings: Sequence[str],
    postgres: str,
    login: Tenant,
    tmp_path: Path,
    programme: Programme,
) -> None:
    source = programme(clients=6)
    login.run("alter role {user} set datestyle = 'SQL, DMY'")
    login.run("alter role {user} set default_transaction_read_only = on")
    with _pooled(postgres, login, "session", *settings) as url:
        variables = {
            "LCM_API_URL": source.url,
            "LCM_DATABASE_URL": url,
            "LCM_START_DATE": "2026-03-01",
            "PGOPTIONS": "-c datestyle=German",
        }
        window = ("--from", "2026-03-01", "--to", "2026-03-10")
        ended = run(tmp_path, "sync", *window, **variables)
        assert ended.returncode == 0, ended.stderr
        assert_exact(source, Warehouse(login.url), last=date(2026, 3, 10))
        warehouse = Warehouse(url)
        with warehouse.connect() as session:
            [client] = session.execute("select min(client_id) from core.clients").fetchone() or ()
        ask_for(warehouse, [(client, {"name": "Анна"})])
        ended = run(tmp_path, "push", **variables)
        assert ended.returncode == 0, ended.stderr + ended.stdout


def test_settings_apply_where_a_pooler_refuses_options(postgres: str, login: Tenant) -> None:
    login.run("alter role {user} set statement_timeout = '10s'")
    with _pooled(postgres, login, "session") as url, Warehouse(url).connect() as session:
        shown = [
            session.execute(f"show {name}").fetchone()
            for name in ("statement_timeout", "lock_timeout", "timezone", "jit")
        ]
    assert shown == [("0",), ("5min",), ("UTC",), ("off",)]


def _temp_buffers(url: str) -> str:
    with ReconnectingSession(Warehouse(url), "lcm test") as reconnecting:
        return reconnecting.run(lambda s: str(s.execute("show temp_buffers").fetchall()[0][0]))


def test_temporary_tables_get_more_memory_but_where_a_client_of_the_pooler_had_some(
    postgres: str, login: Tenant
) -> None:
    with _pooled(postgres, login, "session", "default_pool_size = 1") as url:
        assert _temp_buffers(url) == "64MB"
        login.owner.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                            " where usename = %s", (login.user,))  # fmt: skip
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
            other.execute("create temp table held as select 1")
        assert _temp_buffers(url) == "8MB"
    login.run("alter role {user} set temp_buffers = '128MB'")
    assert _temp_buffers(login.url) == "128MB"


def test_a_reconnecting_session_knows_the_backend_behind_a_pooler(
    postgres: str, login: Tenant
) -> None:
    lost: list[int] = []
    with (
        _pooled(postgres, login, "session") as url,
        ReconnectingSession(Warehouse(url), "lcm test") as reconnecting,
    ):
        backend = reconnecting.run(lambda s: s.execute("select pg_backend_pid()").fetchone())
        reconnecting.on_reconnect(lambda _session, gone: lost.append(gone))
        login.owner.execute("select pg_terminate_backend(%s, 5000)", backend)
        again = reconnecting.run(lambda s: s.execute("select pg_backend_pid()").fetchone())
    assert backend is not None
    assert lost == [backend[0]]
    assert again != backend


def test_a_pool_too_small_for_a_sync_is_refused_with_the_setting_to_raise(
    postgres: str, login: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolers, "_TIMEOUT_SECONDS", 0.5)
    with (
        _pooled(postgres, login, "session", "default_pool_size = 3") as url,
        pytest.raises(WarehouseUnavailableError, match="default_pool_size") as refused,
        open_warehouse(load_settings(database_url=url)),
    ):
        pass
    assert "ignored" not in str(refused.value)


def test_pooler_failures_are_transient_but_protocol_errors_are_not() -> None:
    assert is_transient(psycopg.errors.ProtocolViolation("server conn crashed?"))
    assert is_transient(psycopg.OperationalError("FATAL:  no more connections allowed"))
    assert not is_transient(psycopg.errors.ProtocolViolation("unsupported frontend protocol"))


@pytest.mark.parametrize("settings", [(), (LENIENT,)])
def test_dagster_keeps_its_runs_behind_a_pooler(
    settings: Sequence[str], postgres: str, login: Tenant, tmp_path: Path
) -> None:
    with _pooled(postgres, login, "session", *settings) as url:
        chosen = load_settings(home=tmp_path / "home", dagster_database_url=url)
        with dagster_instance(chosen) as instance:
            instance.daemon_cursor_storage.set_cursor_values({"note": "kept"})
            assert instance.daemon_cursor_storage.get_cursor_values({"note"}) == {"note": "kept"}
