"""Access of BI tools to the embedded warehouse: a read-only login and a port on loopback."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lcm_pipeline.settings.secrets import stored_secret
from lcm_pipeline.waiting import wait_until
from lcm_pipeline.warehouse.access.bi_logins import ensure_bi_login
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.folder import ServerFolder
from lcm_pipeline.warehouse.embedded.loopback import require_password_of, serve_login
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError

_RELOAD_SECONDS = 10.0


@dataclass(frozen=True)
class ServedLogin:
    """A read-only login, and the file with its password. Its repr contains no password."""

    name: str
    password_file: Path
    database: str
    socket_folder: str

    def dsn(self, port: int) -> str:
        """The address for a BI tool, with the password."""
        password = quote(self.password_file.read_text("utf-8").strip(), safe="")
        return f"postgresql://{self.name}:{password}@127.0.0.1:{port}/{self.database}"


def prepare_login(warehouse: Warehouse, home: Path, *, group: str) -> ServedLogin:
    """Create the read-only login of an embedded warehouse, a member of the group.

    Its password is generated once and stored in LCM_HOME. Raises WarehouseUnavailableError if the
    server accepts the login without its password.
    """
    name = f"{group}_reader"
    folder = ServerFolder(Path(os.path.realpath(home)))
    password_file = home / "serve" / name
    password_file.parent.mkdir(mode=0o700, exist_ok=True)
    ensure_bi_login(warehouse, name=name, password=stored_secret(password_file), group=group)
    parts = conninfo_to_dict(warehouse.url)
    if require_password_of(folder, name):
        with warehouse.connect(autocommit=True) as session:
            session.execute("select pg_reload_conf()")
    _wait_for_password_check(make_conninfo("", **{**parts, "user": name, "password": "wrong"}))
    return ServedLogin(name, password_file, str(parts["dbname"]), str(parts["host"]))


def serve(login: ServedLogin, port: int, on_ready: Callable[[int], None]) -> None:
    """Serve the login on a loopback port until interrupted; raises OSError if the port is in use.

    on_ready: called with the port once it accepts connections.
    """
    socket_path = f"{login.socket_folder}/.s.PGSQL.5432"
    asyncio.run(serve_login(socket_path, login=login.name, port=port, on_ready=on_ready))


def _wait_for_password_check(address: str) -> None:
    """Wait until the server refuses a wrong password: it reloads pg_hba.conf asynchronously."""

    def is_refused() -> bool:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError as error:
            return "password authentication failed" in str(error)
        return False

    if not wait_until(is_refused, within=_RELOAD_SECONDS):
        raise WarehouseUnavailableError(
            "The embedded server accepts the login without its password, so nothing is served:"
            " check pg_hba.conf in its data folder"
        )
