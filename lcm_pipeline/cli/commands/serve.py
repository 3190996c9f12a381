"""`lcm serve`: keep the embedded warehouse running, with an address for BI tools."""

import errno
from enum import StrEnum
from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.ports import holder_of
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.access.serving import prepare_login
from lcm_pipeline.warehouse.access.serving import serve as serve_on_port
from lcm_pipeline.warehouse.connection import Warehouse

DEFAULT_PORT = 5433


class Reader(StrEnum):
    """The group role with which a BI tool reads."""

    BI = "bi"
    ANALYST = "analyst"


def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")
    ] = DEFAULT_PORT,
    role: Annotated[
        Reader, typer.Option(help="bi reads the marts; analyst core and history too.")
    ] = Reader.BI,
) -> None:
    """Keep the embedded warehouse running, and print an address for BI tools.

    It listens on this machine only, and accepts one login, which may only read and has its own
    password. Syncs can run at the same time. With a Postgres of your own (LCM_DATABASE_URL) this
    command is not needed.
    """
    settings = load_settings()
    require_embedded(settings, "lcm serve")
    with existing_warehouse(settings) as warehouse:
        try:
            serve_until_stopped(settings, warehouse, role, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # It may be another `lcm serve`, of this home or another one.
            holder = holder_of(port) or "another program"
            raise UsageError(
                f"port {port} of 127.0.0.1 is taken by {holder}: choose one with --port"
            ) from error


def require_embedded(settings: Settings, what: str) -> None:
    """Raise UsageError if the warehouse is a Postgres of the user's own. what: the command."""
    if settings.database_url is not None:
        raise UsageError(
            f"{what} is for the embedded Postgres, and LCM_DATABASE_URL names one of your own:"
            " connect to that one, as a member of lcm_bi or lcm_analyst"
        )


def serve_until_stopped(settings: Settings, warehouse: Warehouse, role: Reader, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM, and print the address; raises OSError if it is in use."""
    login = prepare_login(warehouse, settings.home_path, group=f"lcm_{role}")

    def print_address(taken: int) -> None:
        print(
            f"{login.dsn(taken)}\n"
            f"  for BI tools on this machine; it reads as lcm_{role} (stop with Ctrl-C)\n"
            f"  host 127.0.0.1, port {taken}, database {login.database}, user {login.name},"
            f" password in {login.password_file}",
            flush=True,
        )

    try:
        serve_on_port(login, port, print_address)
    except KeyboardInterrupt:
        print("Stopped serving")
