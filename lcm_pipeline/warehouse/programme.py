"""The programme whose data a warehouse holds: the address of its API, its operator and time zone.

Rows do not record their programme, so two programmes in one warehouse could never be separated
again. A second one is refused. So is another time zone: rows are stored by business day, and a sync
reads only what is new, so the days of two zones would be mixed.
"""

from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.proxies import DEFAULT_PORTS
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.errors import OTHER_SCHEMA_ERRORS
from lcm_pipeline.warehouse.queries import composed, fetch_value, queries, query


class OtherProgrammeError(UsageError):
    """The settings name a different programme from the one in the warehouse."""


class OtherTimeZoneError(UsageError):
    """The settings name a different time zone from that of the stored business days."""


class ProgrammeAddress(NamedTuple):
    """A programme. url: without user, password, query, default port and trailing slash."""

    url: str
    operator: int | None

    def __str__(self) -> str:
        return self.url if self.operator is None else f"{self.url} (operator {self.operator})"


def programme_of(settings: Settings) -> ProgrammeAddress:
    """The programme of the settings; raises SettingsError without LCM_API_URL."""
    parts = urlsplit(settings.required_api_url())
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    return ProgrammeAddress(f"{parts.scheme}://{host}{parts.path.rstrip('/')}", settings.operator)


def require_programme(warehouse: Warehouse, settings: Settings) -> None:
    """Record the programme of the settings, and its time zone, if there is none yet.

    One that was recorded, and of which nothing was read, is replaced: a wrong address, operator or
    time zone can be corrected. Raises OtherProgrammeError or OtherTimeZoneError if the warehouse
    holds another one.
    """
    wanted = programme_of(settings)
    is_read = SQL(queries()["is_read"])
    with warehouse.connect(autocommit=True, application_name="lcm programme") as session:
        row = session.execute(
            composed("claim_source", is_read=is_read), wanted._asdict()
        ).fetchone()
        _require_equal(warehouse, ProgrammeAddress(*row) if row else wanted, wanted)
        claim = composed("claim_time_zone", is_read=is_read)
        found = session.execute(claim, {"zone": settings.timezone}).fetchone()
    _require_zone(warehouse, found[0] if found else settings.timezone, settings)


def check_programme(warehouse: Warehouse, settings: Settings) -> None:
    """Raise as `require_programme` if the warehouse holds another one; records nothing."""
    wanted = programme_of(settings)
    _require_equal(warehouse, stored_programme(warehouse) or wanted, wanted)
    require_time_zone(warehouse, settings)


def require_time_zone(warehouse: Warehouse, settings: Settings) -> None:
    """Raise OtherTimeZoneError if the stored business days are those of another zone.

    For commands that compute days of the settings. Nothing is checked before anything was read, nor
    for a login that may not read the zone.
    """
    zone = None
    with (
        suppress(psycopg.errors.InsufficientPrivilege, *OTHER_SCHEMA_ERRORS),
        warehouse.connect(autocommit=True, application_name="lcm programme") as session,
    ):
        zone = fetch_value(session, "time_zone_of_days")
    _require_zone(warehouse, zone or settings.timezone, settings)


def _require_zone(warehouse: Warehouse, zone: str, settings: Settings) -> None:
    if zone != settings.timezone:
        raise OtherTimeZoneError(
            f"The business days of the warehouse {warehouse.location} are those of {zone}, and"
            f" LCM_TIMEZONE is {settings.timezone}. Nothing was read or written. Restore"
            f" LCM_TIMEZONE={zone}; for days of another zone, fill another warehouse (LCM_HOME or"
            " LCM_DATABASE_URL)"
        )


def _require_equal(
    warehouse: Warehouse, stored: ProgrammeAddress, wanted: ProgrammeAddress
) -> None:
    if stored != wanted:
        raise OtherProgrammeError(
            f"The warehouse {warehouse.location} holds the programme of {stored}, and the settings"
            f" name {wanted}. Nothing was read or written. Correct LCM_API_URL and LCM_OPERATOR, or"
            " set LCM_DATABASE_URL or LCM_HOME to the warehouse of that programme. If it is the"
            " same programme at another address: lcm adopt"
        )


def stored_programme(warehouse: Warehouse) -> ProgrammeAddress | None:
    """The programme that the warehouse holds; None before its first sync."""
    with warehouse.connect(autocommit=True, application_name="lcm programme") as session:
        row = session.execute(query("find_source")).fetchone()
    return ProgrammeAddress(*row) if row else None


def adopt_programme(warehouse: Warehouse, programme: ProgrammeAddress) -> None:
    """Replace the programme of the warehouse; for one whose address has changed."""
    with warehouse.connect(autocommit=True, application_name="lcm programme") as session:
        session.execute(query("replace_source"), programme._asdict())
