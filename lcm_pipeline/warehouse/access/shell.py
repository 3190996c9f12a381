"""Interactive SQL for `lcm sql`: through psql if it is installed, else statement by statement.

Statements run as the group role lcm_analyst, unless the caller wants the owner, so that a mistake
changes nothing. A user who may not act as that role gets read-only transactions instead.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.settings import child_environment, postgres_binaries_override
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.embedded.binaries import find_binaries
from lcm_pipeline.warehouse.embedded.folder import EmbeddedPostgresError

ANALYST = "lcm_analyst"
_READ_ONLY = "default_transaction_read_only"


class StatementError(UserError):
    """A statement failed; the message is the server's."""


@dataclass(frozen=True)
class StatementResult:
    """The rows of a statement, or only its status, such as `INSERT 0 1`."""

    status: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()


def find_psql() -> Path | None:
    """psql on the PATH, else the one of the embedded server; None if there is none."""
    found = shutil.which("psql")
    if found is not None:
        return Path(found)
    try:
        bundled = find_binaries(postgres_binaries_override()) / "psql"
    except EmbeddedPostgresError:
        return None
    return bundled if bundled.is_file() else None


def role_settings(warehouse: Warehouse, *, as_owner: bool) -> dict[str, str]:
    """The settings that make a session run statements as lcm_analyst; empty for the owner."""
    if as_owner:
        return {}
    with warehouse.connect(autocommit=True, application_name="lcm sql") as session:
        try:
            session.execute(SQL("set role {}").format(Identifier(ANALYST)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            return {_READ_ONLY: "on"}
    return {"role": ANALYST}


def psql_command(
    psql: Path, warehouse: Warehouse, settings: dict[str, str], options: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The command line of psql, and its environment, which carries the password.

    Other users of the machine can see the arguments of a process, but not its environment.
    """
    given = " ".join(f"-c {name}={value}" for name, value in settings.items())
    parts = {**warehouse.libpq_parts(given), "application_name": "lcm sql"}
    environment = child_environment()
    password = parts.pop("password", None)
    if warehouse.is_embedded:
        # An older libpq does not know these, and they have no effect on a Unix socket.
        for name in ("sslnegotiation", "require_auth"):
            parts.pop(name, None)
    # The command line would show it, and libpq has no variable for it: psql prompts instead.
    parts.pop("sslpassword", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    command = [str(psql), "--dbname", make_conninfo("", **parts), "--set", "ON_ERROR_STOP=1"]
    return [*command, *options], environment


def open_shell(warehouse: Warehouse, settings: dict[str, str]) -> Session:
    """An autocommit session with these settings, for `execute`."""
    session = warehouse.connect(autocommit=True, application_name="lcm sql")
    for name, value in settings.items():
        session.execute("select set_config(%s, %s, false)", (name, value))
    return session


def execute(session: Session, statement: str) -> StatementResult:
    """Run one statement; raises StatementError."""
    try:
        cursor = session.execute(statement.encode())
    except psycopg.Error as error:
        raise StatementError(str(error).strip()) from error
    if cursor.description is None:
        return StatementResult(cursor.statusmessage or "done")
    columns = tuple(column.name for column in cursor.description)
    return StatementResult(cursor.statusmessage or "", columns, cursor.fetchall())
