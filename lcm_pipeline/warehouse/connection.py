"""How the warehouse is reached: LCM_DATABASE_URL, or the embedded Postgres without it.

Every session is alike, whoever opens it: UTC, bounded waits for locks, dead peers noticed, and no
time-out of a role's that would cut off a long publish each time anew. Text of a libpq error carries
no password, but a wrongly written address can carry pieces of one, so an address that libpq would
misread is refused before it is used.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.embedded import EmbeddedPostgresError, embedded_postgres
from lcm_pipeline.warehouse.transience import is_starting_up, is_transient

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["Session", "Warehouse", "WarehouseUnavailable", "is_transient", "open_warehouse"]

# A session, as functions of the warehouse take it and callers hand it on.
Session = psycopg.Connection[TupleRow]

OLDEST_MAJOR = 15
_CONNECT_SECONDS = 10
_RETRY_SECONDS = 3.0
_START_UP_SECONDS = 30.0
_SESSION_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=0 -c lock_timeout=5min"
    " -c idle_in_transaction_session_timeout=30min"
    # The server notices dead machines too, and lets go of their locks: else after two hours.
    " -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_MALFORMED = (
    "LCM_DATABASE_URL is not an address that Postgres understands: expected "
    "postgresql://user:password@host:port/database, with special characters of the password "
    "percent-encoded (@ as %40, / as %2F)"
)


class WarehouseUnavailable(UsageError):  # noqa: N818 - the name others use
    """The warehouse cannot be used; the message names the place, what happened and what to do."""


@dataclass(frozen=True)
class Warehouse:
    """A database that sessions can be opened in. Shows its place, never its password."""

    url: str = field(repr=False)

    def __repr__(self) -> str:
        return f"Warehouse({self.place})"

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        parts = self._parts
        return (
            f"{parts.get('host') or parts.get('hostaddr') or 'local socket'}"
            f":{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"
        )

    def connect(
        self, *, autocommit: bool = False, application_name: str = "lcm"
    ) -> psycopg.Connection[TupleRow]:
        """Open a session. Tried once: retrying is the caller's decision."""
        parts = {**self._session_parts, "application_name": application_name}
        return psycopg.connect(make_conninfo("", **parts), autocommit=autocommit)

    def engine(self) -> "sqlalchemy.Engine":
        """The pool for pandas and table metadata, one per Warehouse."""
        return self._engine

    def close(self) -> None:
        """Close the pooled sessions, when there was a pool."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @cached_property
    def _engine(self) -> "sqlalchemy.Engine":
        # Imported where it is needed: it takes longer than all else that `lcm status` does.
        import sqlalchemy

        return sqlalchemy.create_engine(
            "postgresql+psycopg://",
            connect_args={**self._session_parts, "application_name": "lcm"},
            pool_pre_ping=True,
        )

    @property
    def _session_parts(self) -> dict[str, str | int]:
        given = dict(self._parts)
        options = f"{_SESSION_OPTIONS} {given.pop('options', '')}".strip()
        return {"connect_timeout": _CONNECT_SECONDS, **_KEEPALIVES, **given, "options": options}

    @cached_property
    def _parts(self) -> dict[str, str | int]:
        return _parse(self.url)


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse of the settings, reachable and fit; an embedded server runs meanwhile."""
    with ExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            try:
                url = stack.enter_context(embedded_postgres(settings.home_path))
            except EmbeddedPostgresError as error:
                raise WarehouseUnavailable(str(error)) from error
        warehouse = Warehouse(url)
        stack.callback(warehouse.close)
        _check(warehouse)
        yield warehouse


def _check(warehouse: Warehouse) -> None:
    with _connect_patiently(warehouse) as session:
        version = session.info.server_version // 10_000
        encoding = session.info.parameter_status("server_encoding")
        is_standby = session.info.parameter_status("in_hot_standby") == "on"
    if version < OLDEST_MAJOR:
        problem = f"it is PostgreSQL {version}, and {OLDEST_MAJOR} or newer is needed"
    elif encoding != "UTF8":
        problem = f"its encoding is {encoding}: create a database with encoding UTF8"
    elif is_standby:
        problem = "it is a read-only standby: give the address of its primary"
    else:
        return
    raise WarehouseUnavailable(
        f"The warehouse {warehouse.place} cannot be used: {problem}, and set LCM_DATABASE_URL to it"
    )


def _connect_patiently(warehouse: Warehouse) -> psycopg.Connection[TupleRow]:
    began, pause = time.monotonic(), 0.1
    while True:
        try:
            return warehouse.connect()
        except psycopg.Error as error:
            patience = _START_UP_SECONDS if is_starting_up(error) else _RETRY_SECONDS
            if not is_transient(error) or time.monotonic() + pause > began + patience:
                raise WarehouseUnavailable(
                    f"The warehouse {warehouse.place} cannot be reached: "
                    f"{str(error).strip()}. Check LCM_DATABASE_URL and that the server runs "
                    "and lets this user in"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _parse(url: str) -> dict[str, str | int]:
    try:
        parts = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise WarehouseUnavailable(_MALFORMED) from None
    ports = [port for port in str(parts.get("port", "")).split(",") if port]
    readable = f"{parts.get('host', '')}{parts.get('dbname', '')}"
    if "@" in readable or not all(port.isdigit() for port in ports):
        raise WarehouseUnavailable(_MALFORMED)
    return parts
