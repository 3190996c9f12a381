"""Statements that a person types: through psql where there is one, else one by one from here.

They run as the group role lcm_analyst, unless the owner is asked for, so that a slip of the hand
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
class Answer:
    """What a statement returned: its rows, or its status alone, such as `INSERT 0 1`."""

    status: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()


def find_psql() -> Path | None:
    """psql of the system, else the one beside the embedded server; None where there is none."""
    found = shutil.which("psql")
    if found is not None:
        return Path(found)
    try:
        bundled = find_binaries(postgres_binaries_override()) / "psql"
    except EmbeddedPostgresError:
        return None
    return bundled if bundled.is_file() else None


def role_settings(warehouse: Warehouse, *, as_owner: bool) -> dict[str, str]:
    """The settings of a session as whom the statements run; none for the user itself."""
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
    """The words that start psql, and its environment, where the password is: other users of the
    machine see the words of a process, and not its environment.
    """
    given = " ".join(f"-c {name}={value}" for name, value in settings.items())
    parts = {**warehouse.libpq_parts(given), "application_name": "lcm sql"}
    environment = child_environment()
    password = parts.pop("password", None)
    if warehouse.is_embedded:
        # Newer than some libpq that is installed, and of no use on a Unix socket.
        for name in ("sslnegotiation", "require_auth"):
            parts.pop(name, None)
    # It would be asked for, as psql has no variable for it.
    parts.pop("sslpassword", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    words = [str(psql), "--dbname", make_conninfo("", **parts), "--set", "ON_ERROR_STOP=1"]
    return [*words, *options], environment


def open_shell(warehouse: Warehouse, settings: dict[str, str]) -> Session:
    """An autocommit session with these settings, for `execute`."""
    session = warehouse.connect(autocommit=True, application_name="lcm sql")
    for name, value in settings.items():
        session.execute("select set_config(%s, %s, false)", (name, value))
    return session


def execute(session: Session, statement: str) -> Answer:
    """Run one statement; raises StatementError."""
    try:
        cursor = session.execute(statement.encode())
    except psycopg.Error as error:
        raise StatementError(str(error).strip()) from error
    if cursor.description is None:
        return Answer(cursor.statusmessage or "done")
    columns = tuple(column.name for column in cursor.description)
    return Answer(cursor.statusmessage or "", columns, cursor.fetchall())
