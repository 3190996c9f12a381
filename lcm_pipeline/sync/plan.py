"""Estimates what syncing a window will cost: requests, time at the set rate, rows.

The cost of clients that were read before comes from the warehouse. For days never polled and
clients never read, a few are requested as a sample, and the rest is assumed to be like them.
Writes nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import ceil
from typing import TypeVar

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import LoyaltyApiError
from lcm_pipeline.api.paging import read_page
from lcm_pipeline.feeds import CLIENT_FEEDS, REGISTRATIONS, ClientFeed
from lcm_pipeline.model import tables
from lcm_pipeline.model.errors import WorkStoppedError
from lcm_pipeline.model.pages import PageRequest
from lcm_pipeline.model.tasks import Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync import roster
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.registrations import read_registration_day
from lcm_pipeline.sync.shared_limits import Priority, sharing_limits
from lcm_pipeline.sync.shared_pace import PACE_SHARE
from lcm_pipeline.sync.source import Source
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.cost import KnownCost, cost_of_known_clients
from lcm_pipeline.warehouse.ingest.state import first_polled_day, polled_days
from lcm_pipeline.warehouse.programme import check_programme

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_SAMPLED_DAYS = 6
_SAMPLED_CLIENTS = 20
# The sample stops after so many failures at its beginning: the service is down.
_MAX_FAILURES = 3


@dataclass(frozen=True)
class FeedPlan:
    """One feed: clients (days, for registrations) to read, requests, and expected rows.

    deferred: clients that are not due, and are not read.
    """

    feed: str
    clients: int
    requests: int
    rows: int
    deferred: int = 0


@dataclass(frozen=True)
class Plan:
    """A window's cost. seconds: at the set rate and concurrency, with the measured latency.

    sampled: requests that the plan itself sent.
    """

    window: Window
    feeds: tuple[FeedPlan, ...]
    seconds: float
    latency: float
    sampled: int

    @property
    def requests(self) -> int:
        """Over all feeds."""
        return sum(feed.requests for feed in self.feeds)


@dataclass
class _Sample:
    """What a few days and clients cost: means per day and per client."""

    registrations_per_day: float = 0.0
    pages: dict[str, float] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    latency: float = 0.0
    sampled: int = 0


def plan_window(settings: Settings, warehouse: Warehouse, window: Window) -> Plan:
    """Plan the sync of a window.

    Raises OtherProgrammeError if the warehouse holds another programme than the settings name,
    OtherTimeZoneError if its days are those of another zone, and SyncError when the API does not
    respond.
    """
    with warehouse.connect(autocommit=True, application_name="lcm plan") as session:
        first_polled = first_polled_day(session)
        # Before anything was read, a sync replaces a programme that the settings do not name.
        if first_polled is not None:
            check_programme(warehouse, settings)
        begins = roster.first_day(settings, window, first_polled)
        polled = polled_days(session, begins, window.last)
        costs = {
            feed.name: cost_of_known_clients(
                session,
                feed.name,
                window,
                roster.schedule_of(settings),
                page_length=settings.page_length,
                has_details=feed.has_details,
            )
            for feed in CLIENT_FEEDS
        }
    to_poll = roster.days_to_poll(begins, window, polled, settings)
    unpolled = roster.missing_days(begins, window, polled)
    sample = asyncio.run(_take_sample(settings, warehouse, window, unpolled or to_poll[-1:]))
    coming = round(sample.registrations_per_day * len(unpolled))
    registrations = round(sample.registrations_per_day * len(to_poll))
    feeds = [FeedPlan(REGISTRATIONS.name, len(to_poll), len(to_poll), registrations)]
    feeds += [_plan_feed(feed, costs[feed.name], sample, coming) for feed in CLIENT_FEEDS]
    requests = sum(feed.requests for feed in feeds)
    seconds = requests * sample.latency / settings.concurrency
    if settings.max_rps:
        seconds = max(seconds, requests / (settings.max_rps * PACE_SHARE))
    return Plan(window, tuple(feeds), seconds, sample.latency, sample.sampled)


def _plan_feed(feed: ClientFeed, cost: KnownCost, sample: _Sample, coming: int) -> FeedPlan:
    fresh = cost.unknown + coming
    requests = ceil(cost.requests + fresh * sample.pages.get(feed.name, 1.0))
    rows = round(cost.rows + fresh * sample.rows.get(feed.name, 0.0))
    return FeedPlan(feed.name, cost.known + fresh, requests, rows, cost.deferred)


async def _take_sample(
    settings: Settings, warehouse: Warehouse, window: Window, days: Sequence[date]
) -> _Sample:
    """Poll a few of the days, evenly spread, and request a few clients who registered then."""
    sample = _Sample()
    async with (
        LoyaltyApi.from_settings(settings) as api,
        sharing_limits(settings, warehouse, api.gate, Priority.BACKFILL),
    ):
        source = Source(api, window, settings.zone, settings.page_length)
        started = time.monotonic()
        clients = await _sample_days(source, _spread(days, _SAMPLED_DAYS), sample)
        await _sample_clients(source, _spread(clients, _SAMPLED_CLIENTS), sample)
        sample.sampled = api.counts.requests
        sample.latency = (time.monotonic() - started) / max(1, sample.sampled)
    return sample


async def _sample_days(source: Source, days: Sequence[date], sample: _Sample) -> list[int]:
    async def read(day: date) -> set[int]:
        outcome = await read_registration_day(source, Task(day=day))
        # The first column of a client's record is its id.
        records = outcome.staged.records.get(tables.clients.name, ())
        return {client_id for client_id, *_ in records if isinstance(client_id, int)}

    seen = await _read_each(days, read)
    sample.registrations_per_day = sum(map(len, seen)) / max(1, len(seen))
    return [client_id for clients in seen for client_id in clients]


async def _sample_clients(source: Source, clients: Sequence[int], sample: _Sample) -> None:
    request = PageRequest(source.habits.base, source.page_length)
    for feed in CLIENT_FEEDS if clients else ():

        async def read(client_id: int, feed: ClientFeed = feed) -> tuple[int, int]:
            page = await read_page(source.api, feed.endpoint, client_id, request)
            total = page.total if page.total is not None else len(page.rows)
            size = min(len(page.rows), source.page_length) or source.page_length
            return max(1, ceil(total / size)) + (total if feed.has_details else 0), total

        costs = await _read_each(clients, read)
        sample.pages[feed.name] = sum(pages for pages, _ in costs) / len(costs)
        sample.rows[feed.name] = sum(rows for _, rows in costs) / len(costs)


async def _read_each(
    items: Sequence[ItemT], read: Callable[[ItemT], Awaitable[ResultT]]
) -> list[ResultT]:
    """Read some days or clients, skipping those that fail; raises SyncError if all do."""
    results: list[ResultT] = []
    failures: list[Exception] = []
    for item in items:
        try:
            results.append(await read(item))
        except WorkStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd response must not cost the plan
            failures.append(error)
            if not results and len(failures) == _MAX_FAILURES:
                break
    if failures and not results:
        last = failures[-1]
        known = isinstance(last, LoyaltyApiError | UnprovenReadingError)
        cause = str(last) if known else f"unexpected error: {type(last).__name__}"
        raise SyncError(f"no plan without the service: {cause}") from last
    return results


def _spread(items: Sequence[ItemT], most: int) -> Sequence[ItemT]:
    """At most `most` of the items, evenly spread."""
    step = max(1, len(items) // most)
    return items[::step][:most]
