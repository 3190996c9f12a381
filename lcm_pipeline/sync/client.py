"""Reading one client of a feed: from a task of the ledger to an outcome for staging."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from lcm_pipeline.api.paging import read_favourite_goods, read_page, source_row
from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.endpoints import FAVOURITE_GOODS
from lcm_pipeline.model.pages import Page, PageRequest, SourceRow
from lcm_pipeline.model.payloads import FavouriteGood, decode_row
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.model.readings import ClientRows, Outcome, Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import ProvenState, Reading, pack_head, unpack_head
from lcm_pipeline.reading.proof import prove_reading
from lcm_pipeline.sync.pages import drive, fetch_together
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.headers import holds_any
from lcm_pipeline.transform.pseudonyms import pseudonymize
from lcm_pipeline.transform.rows import READ_ERRORS
from lcm_pipeline.transform.values import day_of, latest_day

# A person chooses among dozens of goods. The limit bounds a response that never ends.
_MOST_GOODS = 10_000
# Enough to hide the latency of a client with many offers, few enough to leave slots to others.
_GOODS_AT_ONCE = 8


async def read_client_task(source: Source, feed: Feed, task: Task) -> Outcome:
    """Read one client; raises UnprovenReadingError or what the API raises."""
    client_id = task.client_id
    assert client_id is not None and feed.land is not None  # noqa: S101 - a feed of clients
    read_at = datetime.now(UTC)
    reading = await _read(source, feed, client_id, task)
    rows = _held(source, reading.rows)
    expired = len(reading.rows) - len(rows)
    if reading.kind == "delta" and expired:
        # Whether they came on top or changed, only a whole reading tells.
        return await read_client_task(source, feed, replace(task, is_whole=True))
    details = await _read_details(source, client_id, task, reading, rows) if feed.details else {}
    header = reading.header
    if header is not None and not holds_any(header, feed.header_members):
        # It holds nothing that is stored, so what is known from an earlier header stays.
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
        source_total=reading.known.total,
        expired=expired,
        fingerprint=reading.known.fingerprint,
        head=pack_head(reading.known.head),
        header_digest=digest,
    )


async def _read(source: Source, feed: Feed, client_id: int, task: Task) -> Reading:
    async def fetch(request: PageRequest) -> Page:
        return await read_page(source.api, feed.endpoint, client_id, request)

    requests = prove_reading(
        length=source.page_length,
        habits=source.habits,
        known=_known(task),
        whole=task.is_whole,
        keep_head=feed.details is not None,
        trust_total=not source.distrusts,
    )
    return await drive(requests, fetch)


def _held(source: Source, rows: tuple[SourceRow, ...]) -> tuple[SourceRow, ...]:
    """The rows of days that the warehouse holds, and those of no day: they go to quarantine."""
    kept_from = source.kept_from
    if kept_from is None:
        return rows
    days = (day_of(row.moment, source.zone) for row in rows)
    return tuple(row for row, day in zip(rows, days, strict=True) if not day or day >= kept_from)


def _known(task: Task) -> ProvenState | None:
    if task.source_total is None or task.fingerprint is None:
        return None
    return ProvenState(task.source_total, task.fingerprint, unpack_head(task.head))


async def _read_details(
    source: Source, client_id: int, task: Task, reading: Reading, rows: Sequence[SourceRow]
) -> dict[int, tuple[SourceRow, ...]]:
    """Read the goods of each new or changed offer, or of all offers in an audit.

    rows: those rows of the reading that the warehouse keeps.
    """
    before = {entry.digest for entry in unpack_head(task.head)}
    fresh = [row for row in rows if task.is_whole or row.digest not in before]
    ids = [key for row in fresh if isinstance(key := _offer_id(row), int)]
    included = _included_goods(reading)
    missing = [favourite_id for favourite_id in ids if favourite_id not in included]

    async def read_goods(favourite_id: int) -> tuple[SourceRow, ...]:
        return await _read_goods(source, client_id, favourite_id)

    read = await fetch_together(missing, read_goods, at_once=_GOODS_AT_ONCE)
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
        answer = await read_favourite_goods(source.api, client_id, favourite_id, request)
        if answer.page.suspicious:
            raise UnprovenReadingError(
                f"the goods of offer {favourite_id} came with a message each time"
            )
        fresh = [row for row in answer.page.rows if row.key not in rows]
        rows.update((row.key, row) for row in fresh)
        received += len(answer.page.rows)
        if not fresh or len(answer.page.rows) < full_page:
            return _of_offer(tuple(rows.values()), favourite_id, answer.offer_ids)
        if received > _MOST_GOODS:
            raise UnprovenReadingError(
                f"the goods of offer {favourite_id} do not end: {received:,} rows came, and at most"
                f" {_MOST_GOODS:,} are read"
            )
        request = request._replace(start=request.start + len(answer.page.rows))


def _of_offer(
    rows: tuple[SourceRow, ...], favourite_id: int, offer_ids: frozenset[int]
) -> tuple[SourceRow, ...]:
    """The goods of this offer alone, where the server returned those of several."""
    owners = {row.digest: _owner(row) for row in rows}
    if offer_ids <= {favourite_id} or not set(owners.values()) <= offer_ids:
        return rows
    return tuple(row for row in rows if owners[row.digest] == favourite_id)


def _included_goods(reading: Reading) -> dict[int, tuple[SourceRow, ...]]:
    """Goods that came without being asked for, when their Id clearly names offers."""
    if not reading.single_page or not reading.header:
        return {}
    try:
        raws = msgspec.json.decode(reading.header, type=_GoodsPayload).ListFavorites
    except READ_ERRORS:
        # Whatever it is, it is no list of goods: they are asked for.
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
