"""Reading one client of a feed: from a task of the ledger to an outcome for staging.

Which pages to request, and whether they prove the reading, is decided in `reading`; the requests
are sent here.
"""

from dataclasses import replace
from datetime import UTC, datetime

from lcm_pipeline.api.paging import read_page
from lcm_pipeline.feeds import ClientFeed
from lcm_pipeline.model.pages import Page, PageRequest, SourceRow, content_hash
from lcm_pipeline.model.tasks import ClientRows, Outcome, Task
from lcm_pipeline.reading.fingerprint import (
    ProvenState,
    Reading,
    pack_recent_rows,
    unpack_recent_rows,
)
from lcm_pipeline.reading.proof import prove_reading
from lcm_pipeline.sync.gathering import fetch_concurrently
from lcm_pipeline.sync.goods import read_goods_of_offers
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.envelope import holds_any
from lcm_pipeline.transform.pseudonyms import pseudonymize
from lcm_pipeline.transform.values import day_of, latest_day


async def read_client_task(source: Source, feed: ClientFeed, task: Task) -> Outcome:
    """Read one client; raises UnprovenReadingError or what the API raises."""
    client_id = task.client_id
    assert client_id is not None  # noqa: S101 - a task of a feed of clients
    read_at = datetime.now(UTC)
    reading = await _read(source, feed, client_id, task)
    rows = _without_expired(source, reading.rows)
    expired = len(reading.rows) - len(rows)
    if reading.kind == "delta" and expired:
        # A delta does not show whether these old rows are new or changed; a full reading does.
        return await read_client_task(source, feed, replace(task, must_be_full=True))
    details: dict[int, tuple[SourceRow, ...]] = {}
    if feed.has_details:
        details = await read_goods_of_offers(source, client_id, task, reading, rows)
    envelope, digest = reading.envelope, None
    # Nothing of any other envelope is stored, so the values of an earlier one stay.
    if envelope is not None and holds_any(envelope, feed.envelope_members):
        digest = source.pseudonyms.digest(content_hash(envelope).digest())
    has_envelope = digest is not None and digest != task.envelope_digest
    staged = feed.transform(
        ClientRows(
            client_id,
            rows,
            source.zone,
            source.window.last,
            latest_day(read_at.astimezone(source.zone).date()),
            envelope=envelope if has_envelope else None,
            details=details,
        )
    )
    if reading.kind == "delta" and (staged.bad_rows or task.has_bad_rows):
        # A row may have become bad, or been fixed: only a full reading shows what it replaces.
        return await read_client_task(source, feed, replace(task, must_be_full=True))
    return Outcome(
        task,
        "done",
        read_at,
        staged=pseudonymize(staged, source.pseudonyms),
        reading=reading.kind,
        has_envelope=has_envelope,
        single_page=reading.single_page,
        source_total=reading.state_to_store.total,
        expired=expired,
        fingerprint=reading.state_to_store.fingerprint,
        recent_rows=pack_recent_rows(reading.state_to_store.recent_rows),
        envelope_digest=digest,
    )


async def _read(source: Source, feed: ClientFeed, client_id: int, task: Task) -> Reading:
    """Send the requests that the proof yields, and pass the pages back, until it is complete."""

    async def fetch(request: PageRequest) -> Page:
        return await read_page(source.api, feed.endpoint, client_id, request)

    known = None
    if task.source_total is not None and task.fingerprint is not None:
        known = ProvenState(
            task.source_total, task.fingerprint, unpack_recent_rows(task.recent_rows)
        )
    requests = prove_reading(
        length=source.page_length,
        habits=source.habits,
        known=known,
        must_be_full=task.must_be_full,
        has_details=feed.has_details,
        trusts_single_pages=source.trusts_single_pages,
    )
    batch = next(requests)
    while True:
        pages = await fetch_concurrently(batch, fetch, at_once=len(batch))
        try:
            batch = requests.send(pages)
        except StopIteration as stop:
            reading: Reading = stop.value
            return reading


def _without_expired(source: Source, rows: tuple[SourceRow, ...]) -> tuple[SourceRow, ...]:
    """The rows of days that are kept, and those without a day: they go to quarantine."""
    kept_from = source.kept_from
    if kept_from is None:
        return rows
    days = (day_of(row.moment, source.zone) for row in rows)
    return tuple(row for row, day in zip(rows, days, strict=True) if not day or day >= kept_from)
