"""Clients who registered: ClientInfoPeriod rows to records of `registrations` and `clients`.

A row that is set aside, for lack of a card for example, still adds its client to the roster:
otherwise none of that client's operations would ever be requested.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from lcm_pipeline.model import tables
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.payloads import Registration, read_field
from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.staged_rows import StagedRowsBuilder
from lcm_pipeline.transform.values import (
    InvalidValueError,
    parse_dated_moment,
    require,
)


class RegistrationRecord(NamedTuple):
    """One card of a client who registered; pos_name fills the points of sale."""

    registration_date: date
    client_id: int
    card_number: int
    registered_at: datetime
    out_number: int | None
    is_virtual: bool | None
    card_type: str | None
    card_status: str | None
    pos_id: int | None
    pos_name: str | None
    extra: str | None


class ClientRecord(NamedTuple):
    """The columns of a client that one feed knows; the others are None."""

    client_id: int
    registered_at: datetime | None
    registration_date: date | None
    pos_id: int | None
    phone: int | None
    extra: str | None


def registered_on(row: SourceRow, zone: ZoneInfo, latest: date) -> date | None:
    """Return the business day of a registration row; None when it is unreadable or implausible."""
    try:
        return parse_dated_moment(row.moment, "RegDate", zone, latest)[1]
    except InvalidValueError:
        return None


def client_of(row: SourceRow) -> int | None:
    """The client of a registration row; None where it names none."""
    client_id = read_field(row.raw, Registration, "Client")
    return client_id if client_id and client_id > 0 else None


def transform_registrations(
    day: date, rows: Sequence[SourceRow], zone: ZoneInfo, latest: date
) -> StagedRows:
    """Transform the rows of one registration day; the caller drops those of other days.

    latest: the last plausible day; rows of later ones are set aside.
    """
    builder = StagedRowsBuilder(day=day)
    builder.add_rows(
        tables.registrations,
        rows,
        Registration,
        partial(_to_registration, zone, latest),
        owner=client_of,
    )
    for client in _first_registrations(rows, zone, latest):
        builder.add_record(tables.clients, client)
    return builder.finish()


def _to_registration(
    zone: ZoneInfo, latest: date, row: Registration, extra: str | None
) -> RegistrationRecord:
    client_id = require(row.Client, "Client")
    # Negative numbers are stand-ins of erased persons here.
    if client_id < 1:
        raise InvalidValueError("Client: not the number of a client")
    card_number = require(row.Card, "Card")
    registered_at, registration_date = parse_dated_moment(row.RegDate, "RegDate", zone, latest)
    return RegistrationRecord(
        registration_date=registration_date,
        client_id=client_id,
        card_number=card_number,
        registered_at=registered_at,
        out_number=row.OutNumber,
        is_virtual=row.Virtual,
        card_type=row.Card_Type,
        card_status=row.Card_Status,
        pos_id=row.RegPos,
        pos_name=row.RegPosName,
        extra=extra,
    )


def _first_registrations(
    rows: Sequence[SourceRow], zone: ZoneInfo, latest: date
) -> list[ClientRecord]:
    """Return each client once, as of the earliest of its cards, whatever the order of the rows."""
    first: dict[int, tuple[tuple[datetime, bool, int], ClientRecord]] = {}
    for row in rows:
        client_id = client_of(row)
        try:
            registered_at, day = parse_dated_moment(row.moment, "RegDate", zone, latest)
        except InvalidValueError:
            continue
        if client_id is None:
            continue
        pos_id: int | None = read_field(row.raw, Registration, "RegPos")
        rank = (registered_at, pos_id is None, pos_id or 0)
        if client_id not in first or rank < first[client_id][0]:
            client = ClientRecord(
                client_id=client_id,
                registered_at=registered_at,
                registration_date=day,
                pos_id=pos_id,
                phone=None,
                extra=None,
            )
            first[client_id] = (rank, client)
    return [client for _, client in first.values()]
