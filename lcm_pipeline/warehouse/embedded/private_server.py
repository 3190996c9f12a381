"""A server that this process runs for itself, on a private socket, without a network."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from lcm_pipeline.files import end_of_log
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.account import Account
from lcm_pipeline.warehouse.embedded.cluster import SUPERUSER
from lcm_pipeline.warehouse.embedded.postmaster import (
    start_postmaster,
    stop_postmaster,
    wait_until_ready,
)
from lcm_pipeline.warehouse.embedded.upgrade_errors import UpgradeError

_START_SECONDS = 600.0
# Seconds that each step of a stop gets before the next one.
STOP_SECONDS = 120.0


@dataclass(frozen=True)
class PrivateServer:
    """A server on a socket that no other process uses; `run_server` runs it."""

    data: Path
    programs: Path
    account: Account
    sockets: Path
    port: int

    def address(self, database: str) -> str:
        """What the programs of Postgres connect with."""
        return make_conninfo(
            dbname=database, host=str(self.sockets), port=self.port, user=SUPERUSER
        )

    def connect(self, database: str) -> psycopg.Connection:
        """Open an autocommit session."""
        address = f"{quote(database, safe='')}?host={quote(str(self.sockets), safe='')}"
        url = f"postgresql://{SUPERUSER}@/{address}&port={self.port}"
        warehouse = Warehouse(url, is_embedded=True)
        return warehouse.connect(autocommit=True, application_name="lcm upgrade-home")


@contextmanager
def run_server(
    server: PrivateServer, log: IO[bytes], settings: Mapping[str, object]
) -> Iterator[None]:
    """Run a server for the length of the context; the kernel stops it if this process dies.

    settings: those that override its own. Raises UpgradeError, with the end of the log, if it does
    not start.
    """
    process = start_postmaster(
        server.programs,
        server.data,
        server.account,
        sockets=server.sockets,
        settings={"port": server.port, "logging_collector": "off", **settings},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        try:
            ready = wait_until_ready(server.data, process, patience=_START_SECONDS)
        except TimeoutError:
            ready = None
        if ready is None:
            raise UpgradeError(f"the start of {server.programs / 'postgres'}", end_of_log(log))
        yield
    finally:
        stop_postmaster(server.data, patience=STOP_SECONDS)
        # One that has not written its pid yet.
        process.terminate()
        process.wait()
