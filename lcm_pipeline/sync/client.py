"""Reading one client of a feed: from a task of the ledger to an outcome for staging.

Which pages to request, and whether they prove the reading, is decided in `reading`; the requests
are sent here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TypeVar

import msgspec

from lcm_pipeline.api.paging import read_favourite_goods, read_page
from lcm_pipeline.api.rows import source_row
from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.endpoints import FAVOURITE_GOODS
from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.model.payloads import READ_ERRORS, FavouriteGood, decode_row
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.readings import ClientRows, Outcome, Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import ProvenState, Reading, pack_head, unpack_head
from lcm_pipeline.reading.proof import ReadingRequests, prove_reading
from lcm_pipeline.sync.fan_out import cancel_all
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.headers import holds_any
from lcm_pipeline.transform.pseudonyms import pseudonymize
from lcm_pipeline.transform.values import day_of, latest_day

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# A person chooses among dozens of goods. The limit bounds a response that never ends.
_MAX_GOODS = 10_000
# Enough to hide the latency of a client with many offers, few enough to leave slots to others.
_GOODS_AT_ONCE = 8


async def read_client_task(source: Source, feed: Feed, task: Task) -> Outcome:
    """Read one client; raises UnprovenReadingError or what the API raises."""
    client_id = task.client_id
    assert client_id is not None and feed.land is not None  # noqa: S101 - a feed of clients
    read_at = datetime.now(UTC)
    reading = await _read(source, feed, client_id, task)
    rows = _without_expired(source, reading.rows)
    expired = len(reading.rows) - len(rows)
    if reading.kind == "delta" and expired:
        # A delta does not show whether these old rows are new or changed; a full reading does.
        return await read_client_task(source, feed, replace(task, is_whole=True))
    details = await _read_details(source, client_id, task, reading, rows) if feed.details else {}
    header = reading.header
    if header is not None and not holds_any(header, feed.header_members):
        # Nothing of it is stored, so the values of an earlier header stay.
        header = None
    digest = _digest(header, source.pseudonyms)
    has_header = digest is not None and digest != task.header_digest
    landing = feed.land(
        ClientRows(
            client_id,
            rows,
            source.zone,
            source.window.last,
            latest_day(read_at.astimezone(source.zone).date()),
            header=header if has_header else None,
            details=details,
        )
    )
    if reading.kind == "delta" and (landing.bad_rows or task.has_bad_rows):
        # A row may have become bad, or been fixed: only a full reading shows what it replaces.
        return await read_client_task(source, feed, replace(task, is_whole=True))
    return Outcome(
        task,
        "done",
        read_at,
        landing=pseudonymize(landing, source.pseudonyms),
        reading=reading.kind,
        has_header=has_header,
        single_page=reading.single_page,
        source_total=reading.state_to_store.total,
        expired=expired,
        fingerprint=reading.state_to_store.fingerprint,
        head=pack_head(reading.state_to_store.head),
        header_digest=digest,
    )


async def _read(source: Source, feed: Feed, client_id: int, task: Task) -> Reading:
    async def fetch(request: PageRequest) -> Page:
        return await read_page(source.api, feed.endpoint, client_id, request)

    known = None
    if task.source_total is not None and task.fingerprint is not None:
        known = ProvenState(task.source_total, task.fingerprint, unpack_head(task.head))
    requests = prove_reading(
        length=source.page_length,
        habits=source.habits,
        known=known,
        whole=task.is_whole,
        keep_head=feed.details is not None,
        trust_total=not source.distrusts,
    )
    return await _drive(requests, fetch)


async def _drive(
    requests: ReadingRequests, fetch: Callable[[PageRequest], Awaitable[Page]]
) -> Reading:
    """Send the requests that a reading yields, and pass the pages back to it, until it is proven.

    Raises what the reading or a request raises.
    """
    batch = next(requests)
    while True:
        pages = await _fetch_concurrently(batch, fetch, at_once=len(batch))
        try:
            batch = requests.send(pages)
        except StopIteration as stop:
            reading: Reading = stop.value
            return reading


async def _fetch_concurrently(
    items: Sequence[ItemT], fetch: Callable[[ItemT], Awaitable[ResultT]], *, at_once: int
) -> list[ResultT]:
    """Await `fetch` for each item, at most `at_once` at a time; returns the results in order.

    The first failure cancels the others and is raised.
    """
    if len(items) == 1:
        # Most clients have a single page: do without a task for it.
        return [await fetch(items[0])]
    results: dict[int, ResultT] = {}
    left = iter(enumerate(items))

    async def work() -> None:
        for at, item in left:
            results[at] = await fetch(item)

    tasks = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        # gather does not cancel the others when one of them fails.
        await cancel_all(tasks)
        raise
    return [results[at] for at in range(len(items))]


def _without_expired(source: Source, rows: tuple[SourceRow, ...]) -> tuple[SourceRow, ...]:
    """The rows of days that are kept, and those without a day: they go to quarantine."""
    kept_from = source.kept_from
    if kept_from is None:
        return rows
    days = (day_of(row.moment, source.zone) for row in rows)
    return tuple(row for row, day in zip(rows, days, strict=True) if not day or day >= kept_from)


async def _read_details(
    source: Source, client_id: int, task: Task, reading: Reading, rows: Sequence[SourceRow]
) -> dict[int, tuple[SourceRow, ...]]:
    """Read the goods of each new or changed offer, or of all offers in an audit.

    rows: those rows of the reading that the warehouse keeps.
    """
    # The goods of an offer are read again only if the offer itself changed: there is no other sign.
    before = {entry.digest for entry in unpack_head(task.head)}
    fresh = [row for row in rows if task.is_whole or row.digest not in before]
    ids = [key for row in fresh if isinstance(key := _offer_id(row), int)]
    included = _included_goods(reading)
    missing = [favourite_id for favourite_id in ids if favourite_id not in included]

    async def read_goods(favourite_id: int) -> tuple[SourceRow, ...]:
        return await _read_goods(source, client_id, favourite_id)

    read = await _fetch_concurrently(missing, read_goods, at_once=_GOODS_AT_ONCE)
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
        if response.page.suspicious:
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
    if not reading.single_page or not reading.header:
        return {}
    try:
        raws = msgspec.json.decode(reading.header, type=_GoodsPayload).ListFavorites
    except READ_ERRORS:
        # It is not a list of goods, so they are requested offer by offer.
        return {}
    rows = [source_row(FAVOURITE_GOODS, bytes(raw)) for raw in raws or ()]
    offers = {_offer_id(row) for row in reading.rows}
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


def _offer_id(row: SourceRow) -> object:
    return row.key[0] if isinstance(row.key, tuple) else None


def _digest(header: bytes | None, pseudonyms: Pseudonyms) -> bytes | None:
    if header is None:
        return None
    return pseudonyms.digest(blake2b(header, digest_size=16).digest())
