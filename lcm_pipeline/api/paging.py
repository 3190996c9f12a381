"""Calls turned into pages of rows.

One call of these functions is one page; which page to request for next, and whether a reading is
complete, is the sync engine's to decide. `Start` counts from 1 by the
vendor's text, a server may read 0 as 1, and a page may hold one row more than was asked.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.messages import MessageCheck, confirm_message
from lcm_pipeline.api.requests import build_request, to_service_time
from lcm_pipeline.api.rows import source_row, source_rows
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    FAVOURITE_GOODS,
    Endpoint,
)
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import READ_ERRORS, Response

_HEADER_ENCODER = msgspec.json.Encoder(decimal_format="number")
_LONGEST_DECIMAL = 40
# Characters by which messages are distinguished.
_LONGEST_MESSAGE = 2_000


class FavouriteGoodsPage(NamedTuple):
    """The goods of one offer, and the ids of the offers that the same answer named.

    page.total is None: the server's total counts offers, not goods.
    """

    page: Page
    offer_ids: frozenset[int]


async def read_page(
    api: LoyaltyApi,
    endpoint: Endpoint[Any, Any],
    client_id: int,
    request: PageRequest,
    **filters: Any,
) -> Page:
    """Read one page of a client; `filters` are more fields of the request, times as datetimes."""
    fields = {"Client": client_id, "Start": request.start, "Length": request.length, **filters}
    return await _read(api, endpoint, fields)


async def read_registrations(api: LoyaltyApi, beg: datetime, end: datetime) -> Page:
    """Read who registered between two moments of the service's clock; there is no total."""
    fields = {"BegDate": beg, "EndDate": end, "Registration": True}
    return await _read(api, CLIENT_INFO_PERIOD, fields)


async def read_favourite_goods(
    api: LoyaltyApi, client_id: int, favourite_id: int, request: PageRequest
) -> FavouriteGoodsPage:
    """Read one page of the goods of one offer; they come only when the offer's id is asked."""
    call = build_request(
        FAVOURITE_GOODS,
        {
            "Client": client_id,
            "ClientFavoriteId": favourite_id,
            "Start": request.start,
            "Length": request.length,
        },
    )
    offer_ids: frozenset[int] = frozenset()

    async def check() -> MessageCheck:
        nonlocal offer_ids
        answer = await api.call(FAVOURITE_GOODS, call)
        offer_ids = _offer_ids(answer.ClientFavorites)
        return _to_look(FAVOURITE_GOODS, answer)

    page = await confirm_message(FAVOURITE_GOODS, api.harmless_messages, check)
    return FavouriteGoodsPage(page, offer_ids)


async def _read(api: LoyaltyApi, endpoint: Endpoint[Any, Any], fields: Mapping[str, Any]) -> Page:
    request = build_request(
        endpoint, {name: _service_time(value) for name, value in fields.items()}
    )

    async def check() -> MessageCheck:
        return _to_look(endpoint, await api.call(endpoint, request))

    return await confirm_message(endpoint, api.harmless_messages, check)


def _to_look(endpoint: Endpoint[Any, Any], answer: Response) -> MessageCheck:
    rows = getattr(answer, endpoint.rows_field or "")
    total = getattr(answer, endpoint.total_field) if endpoint.total_field else None
    header = _read_header(endpoint, answer)
    page = Page(source_rows(endpoint, rows or []), total, header, is_null=rows is None)
    return MessageCheck(page, (answer.Message or "")[:_LONGEST_MESSAGE].strip())


def _read_header(endpoint: Endpoint[Any, Any], answer: Response) -> bytes | None:
    """Write the header so that equal values are equal bytes, 1.0 and 1.00 too."""
    if not endpoint.header_fields:
        return None
    # A member that the response did not carry is left out: it says nothing, where null is a value.
    header = {
        name: _plain(value)
        for name in endpoint.header_fields
        if (value := getattr(answer, name)) is not UNSET
    }
    for name in endpoint.optional_header_fields:
        value = getattr(answer, name)
        if isinstance(value, list) and value:
            header[name] = value
    try:
        return msgspec.json.format(_HEADER_ENCODER.encode(header), indent=-1)
    except READ_ERRORS:
        readable = {name: _as_json(value) for name, value in header.items()}
        return msgspec.json.format(_HEADER_ENCODER.encode(readable), indent=-1)


def _as_json(value: Any) -> Any:
    """Return a value of a header, where it is no JSON as a text of it: so the others are read."""
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        msgspec.json.format(bytes(value), indent=-1)
    except READ_ERRORS:
        return bytes(value).decode("utf-8", "backslashreplace")
    return value


def _plain(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST_DECIMAL:
        return str(value)
    return Decimal(format(value.normalize(), "f"))


def _offer_ids(offers: Any) -> frozenset[int]:
    """The ids of the offers that a response names; none where that member is no list."""
    rows = source_rows(CLIENT_FAVORITE_DATA_INFO, offers if isinstance(offers, list) else ())
    ids = (row.key[0] for row in rows if isinstance(row.key, tuple))
    return frozenset(offer_id for offer_id in ids if isinstance(offer_id, int))


def _service_time(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.isoformat() if value.tzinfo is None else to_service_time(value)


__all__ = [
    "FavouriteGoodsPage",
    "read_favourite_goods",
    "read_page",
    "read_registrations",
    "source_row",
]
