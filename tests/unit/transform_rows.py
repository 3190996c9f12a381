"""Rows as a response contains them, for the tests of the transform."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from lcm_pipeline.api.rows import source_row
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    FAVOURITE_GOODS,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
    Endpoint,
)
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.tasks import ClientRows
from lcm_pipeline.transform.values import LAST_DAY

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = "2026-03-04T12:00:00"


def client_rows(
    rows: Sequence[SourceRow], *, snapshot_date: date = date(2026, 3, 31), **fields: Any
) -> ClientRows:
    """The rows of client 7 in Moscow, with no bound on their days."""
    return ClientRows(7, rows, MOSCOW, snapshot_date, LAST_DAY, **fields)


def _row(endpoint: Endpoint[Any, Any], fields: dict[str, Any] | bytes) -> SourceRow:
    return source_row(endpoint, fields if isinstance(fields, bytes) else to_json(fields))


def to_json(value: Any) -> bytes:
    """Write Decimals as JSON numbers, as the service does."""
    return msgspec.json.Encoder(decimal_format="number").encode(value)


def registration(**fields: Any) -> SourceRow:
    """A valid row of ClientInfoPeriod with some fields changed."""
    return _row(CLIENT_INFO_PERIOD, {"Client": 7, "Card": 70, "RegDate": NOON, **fields})


def operation(**fields: Any) -> SourceRow:
    """A valid row of OperationHistory with some fields changed."""
    return _row(OPERATION_HISTORY, {"Id": 5, "ComponentType": 1, "Proctime": NOON, **fields})


def operation_of(members: bytes) -> SourceRow:
    """A valid row of OperationHistory with more members, given as JSON."""
    raw = b'{"Id":5,"ComponentType":1,"Proctime":"%s",%s}' % (NOON.encode(), members)
    return _row(OPERATION_HISTORY, raw)


def lead(**fields: Any) -> SourceRow:
    """A valid row of LeadsPagingInfo with some fields changed."""
    return _row(LEADS_PAGING_INFO, {"Leads": 3, "Id": 9, "ProcTime": NOON, **fields})


def offer(**fields: Any) -> SourceRow:
    """A valid row of ClientFavorites with some fields changed."""
    return _row(CLIENT_FAVORITE_DATA_INFO, {"Id": 4, "ProcTime": NOON, **fields})


def good(**fields: Any) -> SourceRow:
    """A valid row of ListFavorites with some fields changed."""
    return _row(FAVOURITE_GOODS, {"Id": 1, "ListDataId": 8, "Name": "Кофе", **fields})


def raw_row(endpoint: Endpoint[Any, Any], raw: bytes) -> SourceRow:
    """Any bytes as a row of an endpoint."""
    return _row(endpoint, raw)
