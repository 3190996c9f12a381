"""Reads pages of rows: each function makes one call and returns one page.

Which page to request next, and whether a reading is complete, is decided in `reading`. `Start`
counts from 1 according to the vendor's documentation; a server may treat 0 as 1, and a page may
have one row more than requested.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.messages import PageWithMessage, confirm_message
from lcm_pipeline.api.rows import source_rows
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    FAVOURITE_GOODS,
    Endpoint,
)
from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.model.payloads import READ_ERRORS, Request, Response

_ENVELOPE_ENCODER = msgspec.json.Encoder(decimal_format="number")
_LONGEST_DECIMAL = 40
# Messages are compared by their first characters.
_LONGEST_MESSAGE = 2_000


class FavouriteGoodsPage(NamedTuple):
    """The goods of one offer, and the ids of the offers in the same response.

    page.total is None: the server's total counts offers, not goods.
    """

    page: Page
    offer_ids: frozenset[int]


async def read_page(
    api: LoyaltyApi, endpoint: Endpoint[Any, Any], client_id: int, request: PageRequest
) -> Page:
    """Read one page of a client."""
    call = endpoint.request_type(Client=client_id, Start=request.start, Length=request.length)
    return await _read_confirmed(api, endpoint, call)


async def read_registrations(api: LoyaltyApi, beg: datetime, end: datetime) -> Page:
    """Read the registrations between two times of the service's clock; there is no total.

    beg and end: without a time zone, in that of the service.
    """
    call = CLIENT_INFO_PERIOD.request_type(
        BegDate=beg.isoformat(), EndDate=end.isoformat(), Registration=True
    )
    return await _read_confirmed(api, CLIENT_INFO_PERIOD, call)


async def read_favourite_goods(
    api: LoyaltyApi, client_id: int, favourite_id: int, request: PageRequest
) -> FavouriteGoodsPage:
    """Read one page of the goods of one offer; only requests for one offer return goods."""
    call = FAVOURITE_GOODS.request_type(
        Client=client_id,
        ClientFavoriteId=favourite_id,
        Start=request.start,
        Length=request.length,
    )
    offer_ids: frozenset[int] = frozenset()

    async def fetch() -> PageWithMessage:
        nonlocal offer_ids
        response = await api.call(FAVOURITE_GOODS, call)
        # None when that member is not a list.
        offers = response.ClientFavorites if isinstance(response.ClientFavorites, list) else ()
        rows = source_rows(CLIENT_FAVORITE_DATA_INFO, offers)
        offer_ids = frozenset(id_ for row in rows if (id_ := offer_id_of(row)) is not None)
        return _to_page(FAVOURITE_GOODS, response)

    page = await confirm_message(FAVOURITE_GOODS, api.harmless_messages, fetch)
    return FavouriteGoodsPage(page, offer_ids)


def offer_id_of(row: SourceRow) -> int | None:
    """The id of an offer's row; None if it has none that can be read."""
    # The key of such a row is its digest.
    offer_id = row.key[0] if isinstance(row.key, tuple) else None
    return offer_id if isinstance(offer_id, int) else None


async def _read_confirmed(api: LoyaltyApi, endpoint: Endpoint[Any, Any], call: Request) -> Page:
    async def fetch() -> PageWithMessage:
        return _to_page(endpoint, await api.call(endpoint, call))

    return await confirm_message(endpoint, api.harmless_messages, fetch)


def _to_page(endpoint: Endpoint[Any, Any], response: Response) -> PageWithMessage:
    rows = getattr(response, endpoint.rows_field or "")
    total = getattr(response, endpoint.total_field) if endpoint.total_field else None
    envelope = _read_envelope(endpoint, response)
    page = Page(source_rows(endpoint, rows or []), total, envelope, is_null=rows is None)
    return PageWithMessage(page, (response.Message or "")[:_LONGEST_MESSAGE].strip())


def _read_envelope(endpoint: Endpoint[Any, Any], response: Response) -> bytes | None:
    """Encode the envelope so that equal values have equal bytes, 1.0 and 1.00 too.

    An unchanged envelope is recognised by its digest.
    """
    if not endpoint.envelope_fields:
        return None
    # A member that the response lacks is left out, as unlike null it is not a value.
    envelope = {
        name: _normalize(value)
        for name in endpoint.envelope_fields
        if (value := getattr(response, name)) is not UNSET
    }
    for name in endpoint.optional_envelope_fields:
        value = getattr(response, name)
        if isinstance(value, list) and value:
            envelope[name] = value
    try:
        return msgspec.json.format(_ENVELOPE_ENCODER.encode(envelope), indent=-1)
    except READ_ERRORS:
        readable = {name: _as_json(value) for name, value in envelope.items()}
        return msgspec.json.format(_ENVELOPE_ENCODER.encode(readable), indent=-1)


def _as_json(value: Any) -> Any:
    """Return a value of an envelope, or its text if it is not valid JSON: others can be read."""
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        msgspec.json.format(bytes(value), indent=-1)
    except READ_ERRORS:
        return bytes(value).decode("utf-8", "backslashreplace")
    return value


def _normalize(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST_DECIMAL:
        return str(value)
    return Decimal(format(value.normalize(), "f"))
