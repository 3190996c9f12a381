"""Connections to the warehouse: LCM_DATABASE_URL, or the embedded Postgres without it.

Every session has the same settings (`session_settings`), and none goes through a pooler that shares
sessions between clients (`poolers`). Errors of libpq never contain the password, but they quote the
host and database of the address. A malformed address can have parts of the password there, so it is
refused before libpq sees it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from lcm_pipeline.model.texts import database_message
from lcm_pipeline.settings import Settings, described_env_file, libpq_variables
from lcm_pipeline.warehouse.embedded.binaries import OLDEST_MAJOR
from lcm_pipeline.warehouse.embedded.cluster import is_disk_full
from lcm_pipeline.warehouse.embedded.folder import EmbeddedPostgresError, ServerFolder
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.errors import NothingSyncedError, WarehouseUnavailableError
from lcm_pipeline.warehouse.poolers import (
    REFUSED_OPTIONS,
    SharedSessionsError,
    refuse_shared_sessions,
)
from lcm_pipeline.warehouse.session_settings import STARTUP_OPTIONS, apply_settings
from lcm_pipeline.warehouse.transient_errors import (
    advice_on_connections,
    is_starting_up,
    is_transient,
)

# The type of a session in signatures, so that callers need not import psycopg. Only the modules
# that this one imports say psycopg.Connection.
Session = psycopg.Connection[TupleRow]

_CONNECT_SECONDS = 10
_RETRY_SECONDS = 3.0
_START_UP_SECONDS = 30.0
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Variables of libpq (PGHOSTADDR, PGREQUIREAUTH …) must not affect sessions of the embedded server.
_EMBEDDED = {
    "hostaddr": "",
    "sslmode": "disable",
    "sslnegotiation": "postgres",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "require_auth": "",
    "requirepeer": "",
    "target_session_attrs": "any",
}
_MALFORMED = (
    "LCM_DATABASE_URL is not an address that Postgres understands: expected "
    "postgresql://user:password@host:port/database, with special characters of the password "
    "percent-encoded (@ as %40, / as %2F)"
)


@dataclass(frozen=True)
class Warehouse:
    """A database that sessions can be opened in. Its repr never contains the password.

    is_read_only: its sessions are read-only, whatever rights the user has.
    home: the folder of an embedded one, which names it in messages.
    """

    url: str = field(repr=False)
    is_embedded: bool = field(default=False, repr=False, kw_only=True)
    home: Path | None = field(default=None, repr=False, kw_only=True)
    is_read_only: bool = field(default=False, repr=False, kw_only=True)

    def __repr__(self) -> str:
        return f"Warehouse({self.location})"

    @property
    def location(self) -> str:
        """The home, or host, port and database, for messages.

        Also those of libpq's variables and PGSERVICE.
        """
        if self.home is not None:
            # Its socket may be a folder with a made-up name in /tmp.
            return str(self.home)
        # Only libpq's connection itself resolves a service that the address names.
        if "service" in self._parts:
            return f"service {self._parts['service']}"
        defaults = {
            option.keyword.decode(): option.val.decode()
            for option in pq.Conninfo.get_defaults()
            if option.val is not None
        }
        parts = {**defaults, **self._parts}
        return (
            f"{parts.get('host') or parts.get('hostaddr') or 'local socket'}"
            f":{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"
        )

    def connect(self, *, autocommit: bool = False, application_name: str = "lcm") -> Session:
        """Open a session. Does not retry: that is the caller's decision."""
        session = self.connect_as_is(application_name)
        try:
            apply_settings(session, self._options)
            if self.is_read_only:
                session.execute("set default_transaction_read_only = on")
            session.autocommit = autocommit
        except BaseException:
            session.close()
            raise
        return session

    def connect_as_is(self, application_name: str = "lcm") -> Session:
        """Open an autocommit session without running any SQL in it; for `connect` and checks."""
        parts = {**self._session_parts, "application_name": application_name}
        if not self._refuses_options.is_set():
            try:
                return psycopg.connect(make_conninfo("", **parts), autocommit=True)
            except psycopg.OperationalError as error:
                if REFUSED_OPTIONS not in str(error):
                    raise
        # PgBouncer refuses start-up options. Without the empty value libpq would send PGOPTIONS.
        session = psycopg.connect(make_conninfo("", **{**parts, "options": ""}), autocommit=True)
        self._refuses_options.set()
        return session

    def libpq_parts(self, options: str = "") -> dict[str, str | int]:
        """The libpq parameters of a session, including the password.

        options: start-up options to add, such as `-c role=lcm_bi`.
        """
        parts = dict(self._session_parts)
        return {**parts, "options": f"{parts['options']} {options}".strip()}

    @cached_property
    def _refuses_options(self) -> threading.Event:
        """Set once a pooler has refused start-up options."""
        return threading.Event()

    @property
    def _options(self) -> str:
        return str(self._parts.get("options", ""))

    @cached_property
    def _session_parts(self) -> dict[str, str | int]:
        given = dict(self._parts)
        if self.is_embedded:
            known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
            given |= {name: value for name, value in _EMBEDDED.items() if name in known}
        elif str(given.get("host", "")).startswith("/"):
            # With PGHOSTADDR set, libpq would connect over TCP instead of the socket.
            given.setdefault("hostaddr", "")
        return {
            "connect_timeout": _CONNECT_SECONDS,
            **_KEEPALIVES,
            **given,
            "client_encoding": "UTF8",
            "options": f"{STARTUP_OPTIONS} {self._options}".strip(),
        }

    @cached_property
    def _parts(self) -> dict[str, str | int]:
        return _parse(self.url)


@contextmanager
def open_warehouse(settings: Settings, *, is_read_only: bool = False) -> Iterator[Warehouse]:
    """Open the warehouse of the settings and check it; starts the embedded server if needed.

    is_read_only: for commands that only read. They accept a standby and do not create an embedded
    database. Raises NothingSyncedError where there is none, and WarehouseUnavailableError.
    """
    if is_read_only:
        require_existing(settings)
    with ExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
            warehouse = Warehouse(url, is_read_only=is_read_only)
        else:
            try:
                url = stack.enter_context(embedded_postgres(settings.home_path))
            except EmbeddedPostgresError as error:
                raise WarehouseUnavailableError(str(error)) from error
            warehouse = Warehouse(
                url, is_embedded=True, is_read_only=is_read_only, home=settings.home_path
            )
        _check(warehouse)
        yield warehouse


def require_existing(settings: Settings) -> None:
    """Raise NothingSyncedError if LCM_HOME has no database and LCM_DATABASE_URL is not set.

    A command that runs in the wrong folder must not create an empty warehouse and report on it.
    """
    if has_warehouse(settings):
        return
    demo = demo_home(settings)
    raise NothingSyncedError(
        f"there is no database in {settings.home_path} (LCM_HOME), and LCM_DATABASE_URL is not set",
        settings=described_env_file(),
        hint=f". The demo's warehouse is there: LCM_HOME={demo}" if demo else "",
    )


def has_warehouse(settings: Settings) -> bool:
    """Whether LCM_DATABASE_URL is set, or LCM_HOME has a database."""
    return settings.database_url is not None or ServerFolder(settings.home_path).has_data


def demo_home(settings: Settings) -> Path | None:
    """The LCM_HOME of the newest demo's warehouse; None without one."""
    homes = [home for home in settings.home_path.glob("demo/*") if ServerFolder(home).has_data]
    return max(homes, key=lambda home: ServerFolder(home).root.stat().st_mtime, default=None)


def _check(warehouse: Warehouse) -> None:
    """Refuse a server that lacks what the pipeline needs, before anything is set or written."""
    with closing(_connect_with_retries(warehouse)) as session:
        version = session.info.server_version // 10_000
        encoding = session.info.parameter_status("server_encoding")
        if version < OLDEST_MAJOR:
            problem = f"it is PostgreSQL {version}, and {OLDEST_MAJOR} or newer is needed"
        elif encoding != "UTF8":
            problem = f"its encoding is {encoding}: create a database with encoding UTF8"
        elif not warehouse.is_read_only and (
            session.info.parameter_status("in_hot_standby") == "on"
        ):
            problem = "it is a read-only standby: give the address of its primary"
        else:
            try:
                refuse_shared_sessions(session, warehouse.connect_as_is)
            except SharedSessionsError as error:
                problem = str(error)
            except psycopg.Error as error:
                raise WarehouseUnavailableError(_unreachable(warehouse, error)) from error
            else:
                return
    raise WarehouseUnavailableError(
        f"The warehouse {warehouse.location} cannot be used: {problem}, and set"
        " LCM_DATABASE_URL to it"
    )


def _connect_with_retries(warehouse: Warehouse) -> Session:
    began, pause = time.monotonic(), 0.1
    while True:
        try:
            return warehouse.connect_as_is()
        except psycopg.Error as error:
            timeout = _START_UP_SECONDS if is_starting_up(error) else _RETRY_SECONDS
            if not is_transient(error) or time.monotonic() + pause > began + timeout:
                raise WarehouseUnavailableError(_unreachable(warehouse, error)) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _unreachable(warehouse: Warehouse, error: psycopg.Error) -> str:
    reason = database_message(str(error))
    if advice_if_full := advice_on_connections(reason):
        # The server was reached, so neither the address nor the environment is at fault.
        return f"The warehouse {warehouse.location} is busy: {reason}. {advice_if_full}"
    if is_disk_full(reason):
        return f"The warehouse {warehouse.location} cannot be used: {reason}. Free some space there"
    advice = "Check LCM_DATABASE_URL and that the server runs and lets this user in"
    if "certificate" in reason:
        advice = (
            "Check sslmode, sslrootcert and the host in LCM_DATABASE_URL, and that the server's"
            " certificate is valid"
        )
    message = f"The warehouse {warehouse.location} cannot be reached: {reason}. {advice}"
    if variables := libpq_variables():
        message += (
            f". Variables of the environment change the connection: {', '.join(variables)}; unset"
            " those that are not meant for it"
        )
    return message


def _parse(url: str) -> dict[str, str | int]:
    try:
        parts = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise WarehouseUnavailableError(_MALFORMED) from None
    ports = [port for port in str(parts.get("port", "")).split(",") if port]
    # An unencoded @ or / of the password moves a part of it to the host, the port or the database,
    # which errors quote. Encoded, an @ may be in any of them, as in the folder of a socket.
    user_and_host, _, database = url.partition("://")[2].partition("?")[0].partition("/")
    is_ambiguous = user_and_host.count("@") > 1 or "@" in database
    if is_ambiguous or not all(port.isdigit() for port in ports):
        raise WarehouseUnavailableError(_MALFORMED)
    return parts
