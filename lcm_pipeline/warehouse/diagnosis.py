"""What `lcm doctor` reads from a database: facts about the server, the user and the schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from lcm_pipeline.model.pseudonyms import PseudonymKeyError, Pseudonyms
from lcm_pipeline.model.texts import database_message
from lcm_pipeline.warehouse.access import rights
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError
from lcm_pipeline.warehouse.privacy.keys import require_pseudonyms
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, query
from lcm_pipeline.warehouse.transient_errors import advice_on_connections


@dataclass(frozen=True)
class WarehouseFacts:
    """Facts about a database that can be reached.

    clock_ahead: seconds by which its clock is ahead of ours. timezone: that of the stored business
    days; None before anything was read, or where the user may not read it. size: bytes of the
    database. missing_rights: statements that grant what the sync lacks. connection_limit: sessions
    that the user, or the database, may have at once; None without a limit.
    """

    version: str
    user: str
    is_standby: bool
    clock_ahead: float
    size: int | None
    timezone: str | None
    missing_rights: tuple[str, ...]
    connection_limit: int | None


def read_facts(warehouse: Warehouse) -> WarehouseFacts:
    """Read the facts; writes nothing, and needs only the right to connect."""
    with warehouse.connect(autocommit=True, application_name="lcm doctor") as session:
        row = session.execute(query("facts_of_server")).fetchone()
        now = datetime.now(UTC)
        assert row is not None  # noqa: S101 - the query returns one row
        user, is_standby, clock, size, has_time_zone, limit = row
        zone = fetch_value(session, "time_zone_of_days") if has_time_zone else None
        missing: tuple[str, ...] = ()
        try:
            rights.require_use(session)
        except rights.MissingRightsError as error:
            missing = error.statements
        version = str(session.info.parameter_status("server_version"))
    # After the first session has ended: the user may be allowed only one.
    if not missing:
        try:
            rights.require_new_months(warehouse)
        except rights.MissingRightsError as error:
            missing = error.statements
    return WarehouseFacts(
        version=version,
        user=str(user),
        is_standby=bool(is_standby),
        clock_ahead=(clock - now).total_seconds(),
        size=size,
        timezone=zone,
        missing_rights=missing,
        connection_limit=limit,
    )


@contextmanager
def explaining_failures(warehouse: Warehouse) -> Iterator[None]:
    """Raise WarehouseUnavailableError instead of a database error, such as of a full server."""
    try:
        yield
    except psycopg.Error as error:
        reason = database_message(str(error))
        advice = advice_on_connections(reason)
        message = f"The warehouse {warehouse.location} failed: {reason}"
        raise WarehouseUnavailableError(f"{message}. {advice}" if advice else message) from error


def tables_without_key(warehouse: Warehouse) -> list[str]:
    """The tables whose keys, which the sync relies on, are missing; of a schema that is current."""
    with warehouse.connect(autocommit=True, application_name="lcm doctor") as session:
        return fetch_column(session, "tables_without_key")


def problem_with_keys(warehouse: Warehouse, pseudonyms: Pseudonyms) -> str | None:
    """Why phones and cards are not stored with the keys of the settings; None if they are.

    Also None if the keys cannot be read: other checks report why.
    """
    with warehouse.connect(autocommit=True, application_name="lcm doctor") as session:
        try:
            require_pseudonyms(session, pseudonyms)
        except PseudonymKeyError as error:
            return str(error)
        except psycopg.Error:
            return None
    return None


def why_unreachable(database: Warehouse) -> str | None:
    """Return why a session cannot be opened; None if it can."""
    try:
        database.connect_as_is("lcm doctor").close()
    except psycopg.Error as error:
        return database_message(str(error))
    except WarehouseUnavailableError as error:
        return str(error)
    return None
