"""The goods of a client's favourite offers, which are requested offer by offer."""

from collections.abc import Sequence
from functools import partial

import msgspec

from lcm_pipeline.api.paging import offer_id_of, read_favourite_goods
from lcm_pipeline.api.rows import source_row
from lcm_pipeline.model.endpoints import FAVOURITE_GOODS
from lcm_pipeline.model.pages import PageRequest, SourceRow
from lcm_pipeline.model.payloads import READ_ERRORS, FavouriteGood, decode_row
from lcm_pipeline.model.tasks import Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import Reading, unpack_recent_rows
from lcm_pipeline.sync.gathering import fetch_concurrently
from lcm_pipeline.sync.source import Source

# A person chooses among dozens of goods. The limit bounds a response that never ends.
_MAX_GOODS = 10_000
# Enough to hide the latency of a client with many offers, few enough to leave slots to others.
_GOODS_AT_ONCE = 8


async def read_goods_of_offers(
    source: Source, client_id: int, task: Task, reading: Reading, rows: Sequence[SourceRow]
) -> dict[int, tuple[SourceRow, ...]]:
    """Read the goods of each new or changed offer, or of all offers in an audit.

    rows: those rows of the reading that the warehouse keeps.
    """
    # The goods of an offer are read again only if the offer itself changed: there is no other sign.
    before = {recent.digest for recent in unpack_recent_rows(task.recent_rows)}
    fresh = [row for row in rows if task.must_be_full or row.digest not in before]
    ids = [offer_id for row in fresh if (offer_id := offer_id_of(row)) is not None]
    included = _included_goods(reading)
    missing = [favourite_id for favourite_id in ids if favourite_id not in included]
    fetch = partial(_read_goods, source, client_id)
    read = await fetch_concurrently(missing, fetch, at_once=_GOODS_AT_ONCE)
    goods = included | dict(zip(missing, read, strict=True))
    return {favourite_id: goods[favourite_id] for favourite_id in ids}


async def _read_goods(source: Source, client_id: int, favourite_id: int) -> tuple[SourceRow, ...]:
    """Read the goods of one offer; an empty result needs a second reading that agrees."""
    goods = await _fetch_goods(source, client_id, favourite_id)
    if not goods and await _fetch_goods(source, client_id, favourite_id):
        raise UnprovenReadingError(
            f"the goods of offer {favourite_id} differ from one reading to the next"
        )
    return goods


async def _fetch_goods(source: Source, client_id: int, favourite_id: int) -> tuple[SourceRow, ...]:
    """Read the goods of one offer to the end; there is no total to compare with."""
    request = PageRequest(source.habits.base, source.page_length)
    full_page = min(source.page_length, source.habits.largest_of_many or source.page_length)
    rows: dict[object, SourceRow] = {}
    received = 0
    while True:
        response = await read_favourite_goods(source.api, client_id, favourite_id, request)
        if response.page.is_suspicious:
            raise UnprovenReadingError(
                f"the goods of offer {favourite_id} have a message each time"
            )
        fresh = [row for row in response.page.rows if row.key not in rows]
        rows.update((row.key, row) for row in fresh)
        received += len(response.page.rows)
        if not fresh or len(response.page.rows) < full_page:
            return _of_offer(tuple(rows.values()), favourite_id, response.offer_ids)
        if received > _MAX_GOODS:
            raise UnprovenReadingError(
                f"the goods of offer {favourite_id} do not end: got {received:,} rows, and at most"
                f" {_MAX_GOODS:,} are read"
            )
        request = request._replace(start=request.start + len(response.page.rows))


def _of_offer(
    rows: tuple[SourceRow, ...], favourite_id: int, offer_ids: frozenset[int]
) -> tuple[SourceRow, ...]:
    """The goods of this offer alone, if the server returned those of several."""
    owners = {row.digest: _owner(row) for row in rows}
    if offer_ids <= {favourite_id} or not set(owners.values()) <= offer_ids:
        return rows
    return tuple(row for row in rows if owners[row.digest] == favourite_id)


def _included_goods(reading: Reading) -> dict[int, tuple[SourceRow, ...]]:
    """Goods in the response for the offers, if the Id of each names one of these offers.

    Some servers send them although no offer was requested; then no request for them is needed.
    """
    if not reading.single_page or not reading.envelope:
        return {}
    try:
        raws = msgspec.json.decode(reading.envelope, type=_GoodsPayload).ListFavorites
    except READ_ERRORS:
        # It is not a list of goods, so they are requested offer by offer.
        return {}
    rows = [source_row(FAVOURITE_GOODS, bytes(raw)) for raw in raws or ()]
    offers = {offer_id_of(row) for row in reading.rows}
    goods: dict[int, list[SourceRow]] = {}
    for row in rows:
        owner = _owner(row)
        if owner is None or owner not in offers:
            return {}
        goods.setdefault(owner, []).append(row)
    return {owner: tuple(found) for owner, found in goods.items()}


class _GoodsPayload(msgspec.Struct):
    ListFavorites: list[msgspec.Raw] | None = None


def _owner(row: SourceRow) -> int | None:
    try:
        return decode_row(row.raw, FavouriteGood).Id
    except READ_ERRORS:
        return None
