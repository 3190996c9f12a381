"""Settings of roles, databases and the environment do not change what sessions rely on."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.access.bi_logins import ensure_bi_login
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from tests.commands import run
from tests.conftest import Programme
from tests.integration.postgres_users import Tenant, address, tenant
from tests.oracle import assert_exact

EMOJI = "Подарок 🎁 café"
ODD = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "'sql_standard'",
    "timezone": "'Asia/Tokyo'",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "bytea_output": "'escape'",
    "extra_float_digits": "-15",
    "search_path": "'nowhere'",
    "row_security": "off",
    "statement_timeout": "'20ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1s'",
    "idle_session_timeout": "'1s'",
    "transaction_timeout": "'1s'",
    "synchronous_commit": "off",
    "client_min_messages": "error",
    "exit_on_error": "on",
    "jit": "on",
}
RELIED_ON = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "public",
    "row_security": "on",
    "statement_timeout": "0",
    "lock_timeout": "5min",
    "idle_in_transaction_session_timeout": "30min",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "synchronous_commit": "on",
    "client_min_messages": "notice",
    "exit_on_error": "off",
    "session_replication_role": "origin",
    "jit": "off",
}
ENCODINGS = ("SQL_ASCII", "WIN1251", "LATIN1")


@pytest.fixture
def login(postgres: str) -> Iterator[Tenant]:
    with tenant(postgres) as made:
        yield made


def _shown(url: str) -> dict[str, str]:
    with Warehouse(url).connect() as session:
        rows = [session.execute(f"show {name}").fetchone() for name in RELIED_ON]
    return {name: row[0] for name, row in zip(RELIED_ON, rows, strict=True) if row}


@pytest.mark.parametrize("target", ["role {user}", "database {database}"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_setting_of_a_role_or_a_database_reaches_a_session(
    target: str, encoding: str, login: Tenant
) -> None:
    for name, value in {**ODD, "client_encoding": encoding}.items():
        login.run(f"alter {target} set {name} = {value}")
    assert _shown(login.url) == RELIED_ON


def test_no_type_of_another_application_is_taken_for_one_of_postgres(login: Tenant) -> None:
    login.run("create schema shop")
    login.run("create domain shop.text as integer")
    login.run("create function shop.current_setting(pg_catalog.text, boolean) returns int return 1")
    login.run("grant usage on schema shop to {user}")
    login.run("alter role {user} set search_path = shop, pg_catalog")
    assert _shown(login.url) == RELIED_ON


def test_no_variable_of_libpq_reaches_a_session(
    login: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "WIN1251")
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on -c statement_timeout=1")
    assert _shown(login.url) == RELIED_ON


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_text_is_written_and_read(encoding: str, login: Tenant) -> None:
    login.run(f"alter role {{user}} set client_encoding = {encoding}")
    warehouse = Warehouse(login.url)
    with warehouse.connect() as session:
        session.execute("create table texts (line text)")
        session.execute("insert into texts values (%s)", (EMOJI,))
    with warehouse.connect() as session:
        assert session.execute("select line from texts").fetchone() == (EMOJI,)
        assert session.execute("show datestyle").fetchone() == ("ISO, MDY",)


def test_the_address_may_set_time_outs_but_not_what_rows_depend_on(login: Tenant) -> None:
    given = "-c%20lock_timeout%3D7s%20--statement-timeout%3D9s%20-cdatestyle%3DGerman"
    with Warehouse(f"{login.url}&options={given}").connect() as session:
        shown = [
            session.execute(f"show {name}").fetchone()
            for name in ("lock_timeout", "statement_timeout", "datestyle")
        ]
    assert shown == [("7s",), ("9s",), ("ISO, MDY",)]
    with Warehouse(f"{login.url}&client_encoding=WIN1251").connect() as session:
        assert session.execute("show client_encoding").fetchone() == ("UTF8",)


def test_a_stricter_synchronous_commit_of_the_role_is_kept(login: Tenant) -> None:
    login.run("alter role {user} set synchronous_commit = remote_apply")
    with Warehouse(login.url).connect() as session:
        assert session.execute("show synchronous_commit").fetchone() == ("remote_apply",)


@pytest.mark.slow
def test_a_sync_is_exact_for_a_user_with_unusual_settings(
    tmp_path: Path, programme: Programme, login: Tenant
) -> None:
    source = programme(clients=12)
    for name, value in {**ODD, "client_encoding": "SQL_ASCII"}.items():
        login.run(f"alter role {{user}} set {name} = {value}")
    ended = run(
        tmp_path,
        *("sync", "--from", "2026-03-01", "--to", "2026-03-10"),
        LCM_API_URL=source.url,
        LCM_DATABASE_URL=login.url,
        LCM_START_DATE="2026-03-01",
        PGDATESTYLE="German",
        PGTZ="Asia/Tokyo",
        PGCLIENTENCODING="KOI8R",
    )
    assert ended.returncode == 0, ended.stderr
    assert_exact(source, Warehouse(login.url), last=date(2026, 3, 10))


def test_a_superuser_only_setting_is_refused_with_the_statement_to_run(
    tmp_path: Path, login: Tenant
) -> None:
    login.run("alter role {user} set session_replication_role = replica")
    ended = run(tmp_path, "migrate", LCM_DATABASE_URL=login.url)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    advice = ended.stderr.splitlines()[-1].strip()
    assert "set session_replication_role = 'origin'" in advice
    login.owner.execute(advice.encode())
    assert run(tmp_path, "migrate", LCM_DATABASE_URL=login.url).returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOSTADDR", "127.0.0.9"),
        ("PGSSLMODE", "verify-full"),
        ("PGREQUIREAUTH", "scram-sha-256"),
        ("PGCHANNELBINDING", "require"),
        ("PGGSSENCMODE", "require"),
        ("PGTARGETSESSIONATTRS", "read-only"),
        ("PGREQUIREPEER", "somebody"),
        ("PGCLIENTENCODING", "nonsense"),
    ],
)
def test_no_environment_variable_redirects_from_the_embedded_server(
    variable: str,
    value: str,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    with Warehouse(postgres, is_embedded=True).connect() as session:
        assert session.execute("select 1").fetchone() == (1,)


def test_a_variable_that_makes_connecting_fail_is_named(
    login: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("PGTZ", "Mars/Base"), ("PGSERVICE", "absent")):
        monkeypatch.setenv(variable, value)
        with (
            pytest.raises(WarehouseUnavailableError, match=variable) as refused,
            open_warehouse(load_settings(database_url=login.url)),
        ):
            pass
        assert value in str(refused.value)
        monkeypatch.delenv(variable)


def test_dagster_keeps_its_runs_whatever_the_role_sets(login: Tenant, tmp_path: Path) -> None:
    for name, value in (
        ("client_encoding", "WIN1251"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "'20ms'"),
        ("timezone", "'Asia/Tokyo'"),
        ("datestyle", "'SQL, DMY'"),
    ):
        login.run(f"alter role {{user}} set {name} = {value}")
    settings = load_settings(home=tmp_path / "home", dagster_database_url=login.url)
    with dagster_instance(settings) as instance:
        storage = instance.daemon_cursor_storage
        storage.set_cursor_values({"note": EMOJI})
        assert storage.get_cursor_values({"note"}) == {"note": EMOJI}


def test_dashboards_read_utf8_whatever_the_database_sets(login: Tenant, postgres: str) -> None:
    login.run("alter database {database} set client_encoding = 'WIN1251'")
    login.run("alter database {database} set datestyle = 'SQL, DMY'")
    owner = Warehouse(address(postgres, database=login.database))
    name = f"{login.user}_bi"
    with owner.connect(autocommit=True) as session:
        session.execute("do $$ begin create role lcm_bi; exception when others then null; end $$")
    ensure_bi_login(owner, name=name, password="secret")
    try:
        url = address(postgres, user=name, database=login.database)
        with psycopg.connect(url) as session:
            assert session.execute("select %s", (EMOJI,)).fetchone() == (EMOJI,)
            assert session.execute("show datestyle").fetchone() == ("ISO, MDY",)
    finally:
        login.owner.execute(f"drop role {name}")


def test_the_embedded_server_is_opened_as_embedded_and_named_after_its_home(
    tmp_path: Path,
) -> None:
    # Its socket is in a folder of /tmp, whose name says nothing.
    home = tmp_path / "дом"
    with (
        embedded_postgres(home),
        open_warehouse(load_settings(home=home, database_url=None)) as warehouse,
    ):
        assert warehouse.is_embedded
        assert warehouse.location == str(home)


def test_messages_name_the_database_that_the_variables_of_libpq_and_a_service_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGPORT", "6432")
    monkeypatch.setenv("PGDATABASE", "loyalty")
    assert Warehouse("postgresql://").location == "db.example:6432/loyalty"
    assert Warehouse("postgresql://other:5433/test").location == "other:5433/test"
    services = tmp_path / "services"
    services.write_text("[bonus]\nhost=bonus.example\nport=7432\ndbname=bonus\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    assert Warehouse("postgresql://?service=bonus").location == "service bonus"
    monkeypatch.setenv("PGSERVICE", "bonus")
    assert Warehouse("postgresql://").location == "bonus.example:7432/bonus"
