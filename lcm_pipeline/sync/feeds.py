"""The four feeds: which endpoint is read, into which tables, and how its rows land.

A feed is what an asset is made of. Adding one is an entry here beside its endpoint, its payload,
its table and its transform; nothing else asks which feed it is.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from lcm_pipeline.model import tables
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
    Endpoint,
)
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.readings import Landing, Outcome, Task
from lcm_pipeline.reading.fingerprint import Reading
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform import favourite_headers, operations
from lcm_pipeline.transform.favourites import land_favourites
from lcm_pipeline.transform.leads import land_leads
from lcm_pipeline.transform.operations import land_operations

Land = Callable[["Read"], Landing]


@dataclass(frozen=True)
class Read:
    """A proven reading on its way to staging.

    header: None when it is known already, or tells nothing. latest: the last plausible day.
    """

    client_id: int
    reading: Reading
    header: bytes | None
    goods: dict[int, tuple[SourceRow, ...]]
    zone: ZoneInfo
    snapshot_date: date
    latest: date


@dataclass(frozen=True)
class Feed:
    """One feed. has_details: its rows have goods that are asked for one by one.

    header_members: what is landed of the answer beside its rows.
    """

    name: str
    endpoint: Endpoint[Any, Any]
    tables: tuple[tables.CoreTable, ...]
    land: Land | None = None
    has_details: bool = False
    header_members: frozenset[str] = frozenset()


ReadTask = Callable[[Source, Feed, Task], Awaitable[Outcome]]


def _operations(read: Read) -> Landing:
    return land_operations(read.client_id, read.reading.rows, read.header, read.zone, read.latest)


def _leads(read: Read) -> Landing:
    return land_leads(read.client_id, read.reading.rows, read.zone, read.latest)


def _favourites(read: Read) -> Landing:
    return land_favourites(
        read.client_id,
        read.reading.rows,
        read.header,
        read.goods,
        read.zone,
        read.snapshot_date,
        read.latest,
    )


REGISTRATIONS = Feed("registrations", CLIENT_INFO_PERIOD, (tables.registrations, tables.clients))
OPERATIONS = Feed(
    "operations",
    OPERATION_HISTORY,
    (tables.operations, tables.clients),
    _operations,
    header_members=operations.HEADER_MEMBERS,
)
LEADS = Feed("leads", LEADS_PAGING_INFO, (tables.leads,), _leads)
FAVOURITES = Feed(
    "favourites",
    CLIENT_FAVORITE_DATA_INFO,
    (
        tables.favourite_offers,
        tables.favourite_goods,
        tables.favourite_groups,
        tables.favourite_stats,
    ),
    _favourites,
    has_details=True,
    header_members=favourite_headers.MEMBERS,
)

# Those that are asked for client by client, in the order in which a run reads them.
CLIENT_FEEDS = (OPERATIONS, LEADS, FAVOURITES)
FEEDS = {feed.name: feed for feed in (REGISTRATIONS, *CLIENT_FEEDS)}
