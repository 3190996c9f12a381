"""A warehouse is opened if it is usable; otherwise the message names address, cause and remedy."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from lcm_pipeline.cli.failures import message_of
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse import connection
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.transient_errors import is_transient
from tests.integration.scripted_postgres import greeting, refusal, scripted_postgres

SECRET = "tr0ub4dor"
CERTIFICATES = Path(__file__).parent.parent / "unit" / "certificates"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("home") / ".lcm"
    with embedded_postgres(path):
        yield path


@pytest.fixture
def embedded(home: Path) -> Settings:
    return load_settings(home=home, database_url=None)


def _settings_for_port(port: int) -> Settings:
    return load_settings(database_url=f"postgresql://me:{SECRET}@127.0.0.1:{port}/loyalty")


def _refusal(settings: Settings) -> str:
    with pytest.raises(WarehouseUnavailableError) as refused, open_warehouse(settings):
        pass
    assert SECRET not in str(refused.value)
    return str(refused.value)


def test_without_an_address_the_embedded_server_is_opened(embedded: Settings) -> None:
    with open_warehouse(embedded) as warehouse, warehouse.connect() as session:
        assert session.execute("select current_database()").fetchone() == ("lcm",)


def test_a_server_whose_disk_is_full_is_not_taken_for_a_wrong_address() -> None:
    words = "could not write init file: No space left on device"
    with scripted_postgres([refusal("53100", words)]) as port:
        message = _refusal(_settings_for_port(port))
    assert message.endswith(f"{words}. Free some space there")
    assert "LCM_DATABASE_URL" not in message


def test_an_embedded_server_that_cannot_run_is_an_unavailable_warehouse(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "LCM_HOME" in _refusal(load_settings(home=tmp_path / "file", database_url=None))


def test_an_error_of_the_caller_propagates_unchanged(embedded: Settings) -> None:
    with pytest.raises(ZeroDivisionError), open_warehouse(embedded):
        raise ZeroDivisionError


def test_every_session_is_in_utc_with_bounded_waits(embedded: Settings) -> None:
    shown = "timezone", "lock_timeout", "idle_in_transaction_session_timeout", "application_name"
    with (
        open_warehouse(embedded) as warehouse,
        warehouse.connect(autocommit=True, application_name="lcm sync") as session,
    ):
        direct = [session.execute(f"show {name}").fetchone() for name in shown]
    assert direct == [("UTC",), ("5min",), ("30min",), ("lcm sync",)]


def test_a_time_out_of_the_database_does_not_interrupt_a_publish(warehouse: Warehouse) -> None:
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "do $$ begin execute format('alter database %I set statement_timeout = 10',"
            " current_database()); end $$"
        )
    with warehouse.connect() as session:
        assert session.execute("select 1 from pg_sleep(0.05)").fetchone() == (1,)


def test_options_in_the_address_are_kept_and_win(embedded: Settings) -> None:
    with open_warehouse(embedded) as warehouse:
        own = Warehouse(f"{warehouse.url}&options=-c%20lock_timeout%3D7s")
        with own.connect() as session:
            assert session.execute("show lock_timeout").fetchone() == ("7s",)
            assert session.execute("show timezone").fetchone() == ("UTC",)


def test_a_database_in_another_encoding_is_refused(embedded: Settings) -> None:
    with open_warehouse(embedded) as warehouse:
        with warehouse.connect(autocommit=True) as session:
            session.execute(
                "create database plain encoding 'SQL_ASCII' template template0 "
                "locale_provider libc locale 'C'"
            )
        url = warehouse.url.replace("/lcm?", "/plain?")
        assert "its encoding is SQL_ASCII" in _refusal(load_settings(database_url=url))


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (greeting("14.9"), "it is PostgreSQL 14, and 15 or newer is needed"),
        (greeting(encoding="WIN1251"), "its encoding is WIN1251"),
        (greeting(standby="on"), "read-only standby"),
        (refusal("28P01", 'password authentication failed for user "me"'), "password authentic"),
        (refusal("3D000", 'database "loyalty" does not exist'), "does not exist"),
    ],
)
def test_an_unsuitable_server_is_refused_at_once(response: bytes, words: str) -> None:
    # A second attempt would succeed.
    with scripted_postgres([response, greeting()]) as port:
        message = _refusal(_settings_for_port(port))
    assert f"127.0.0.1:{port}/loyalty" in message
    assert words in message


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        ("FATAL", "the database system is starting up"),
        ("ВАЖНО", "система баз данных запускается"),
    ],
)
def test_a_server_that_is_starting_up_is_awaited(
    severity: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = refusal("57P03", words, severity)
    monkeypatch.setattr(connection, "_RETRY_SECONDS", 0)
    with (
        scripted_postgres([starting, starting, greeting()]) as port,
        open_warehouse(_settings_for_port(port)) as warehouse,
    ):
        assert warehouse.location == f"127.0.0.1:{port}/loyalty"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (refusal("3D000", 'database "loyalty" does not exist'), False),
        (refusal("3D000", 'база данных "loyalty" не существует', "ВАЖНО"), False),
        (refusal("53300", "sorry, too many clients already"), True),
        (refusal("53300", "извините, уже слишком много клиентов", "ВАЖНО"), True),
        (refusal("53300", 'слишком много подключений для роли "me"', "ВАЖНО"), True),
    ],
)
def test_only_a_busy_server_is_tried_again(response: bytes, expected: bool) -> None:
    with scripted_postgres([response]) as port, pytest.raises(psycopg.OperationalError) as failure:
        psycopg.connect(f"host=127.0.0.1 port={port} dbname=loyalty user=me sslmode=disable")
    assert is_transient(failure.value) is expected


@pytest.mark.parametrize(
    ("words", "severity", "advice"),
    [
        ("sorry, too many clients already", "FATAL", "max_connections"),
        ("извините, уже слишком много клиентов", "ВАЖНО", "max_connections"),
        ('too many connections for role "me"', "FATAL", "alter role"),
        ('слишком много подключений к БД "loyalty"', "ВАЖНО", "alter database"),
        ("no more connections allowed (max_client_conn)", "FATAL", "max_client_conn"),
    ],
)
def test_a_server_without_a_free_connection_is_reported_with_the_limit_to_raise(
    monkeypatch: pytest.MonkeyPatch, words: str, severity: str, advice: str
) -> None:
    monkeypatch.setattr(connection, "_RETRY_SECONDS", 0)
    with scripted_postgres([refusal("53300", words, severity)]) as port:
        settings = _settings_for_port(port)
        message = _refusal(settings)
        with pytest.raises(psycopg.OperationalError) as lost:
            Warehouse(f"postgresql://me@127.0.0.1:{port}/loyalty").connect()
    assert advice in message
    assert "lets this user in" not in message
    # Also where the connections run out only after the start.
    assert advice in message_of(lost.value)


def test_an_untrusted_certificate_is_reported_with_what_to_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_offer_tls, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        url = (
            f"postgresql://me:{SECRET}@127.0.0.1:{port}/loyalty"
            f"?sslmode=verify-full&sslrootcert={CERTIFICATES / 'other_host.pem'}"
        )
        message = _refusal(load_settings(database_url=url))
        listener.shutdown(socket.SHUT_RDWR)
    assert "certificate verify failed" in message
    assert "sslrootcert" in message
    assert "lets this user in" not in message


def _offer_tls(listener: socket.socket) -> None:
    """Accept the request for encryption of each client, with a certificate that it distrusts."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "localhost.with_key.pem")
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, suppress(OSError):
            client.recv(8, socket.MSG_WAITALL)
            client.sendall(b"S")
            tls.wrap_socket(client, server_side=True)


def test_an_unreachable_address_is_not_awaited_like_a_server_that_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_START_UP_SECONDS", 3600)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        message = _refusal(_settings_for_port(unused.getsockname()[1]))
    assert "refused" in message


@pytest.mark.parametrize("password", [f"{SECRET}@x", f"{SECRET}/x", f"{SECRET}%zz"])
def test_an_ambiguous_address_is_refused(password: str) -> None:
    settings = load_settings(database_url=f"postgresql://me:{password}@127.0.0.1:1/loyalty")
    assert "percent-encoded" in _refusal(settings)


@pytest.mark.parametrize("address", ["/loyalty?host=/run/p@g", "/loyalty?host=%2Frun%2Fp%40g"])
def test_the_folder_of_a_socket_may_have_an_at_sign(address: str) -> None:
    message = _refusal(load_settings(database_url=f"postgresql://me:{SECRET}@{address}"))
    assert "/run/p@g" in message
    assert "percent-encoded" not in message


def test_a_warehouse_shows_no_password() -> None:
    warehouse = Warehouse(f"postgresql://me:{SECRET}@db.example:6543/loyalty")
    shown = f"{warehouse} {warehouse!r} {[warehouse]}"
    assert SECRET not in shown
    assert "Warehouse(db.example:6543/loyalty)" in shown
