"""Asks the API again and says which clients differ from the warehouse, and by which rows.

Reads both sides and writes to neither. A row that changed since it was synced differs too: verify
right after a sync to judge the sync, at any time to see how old the warehouse has become.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from lcm_pipeline.loyalty_api.client import LoyaltyApi
from lcm_pipeline.loyalty_api.errors import ForbiddenError, IdentityError, LoyaltyApiError
from lcm_pipeline.model.readings import Assignment, Outcome
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.clients import read_assigned_client
from lcm_pipeline.sync.errors import SyncFailed
from lcm_pipeline.sync.feeds import FAVOURITES, LEADS, OPERATIONS, Feed
from lcm_pipeline.sync.reading import Unproven
from lcm_pipeline.sync.source import Source
from lcm_pipeline.warehouse.comparing import LATEST_ONLY, draw_clients, live_rows
from lcm_pipeline.warehouse.connection import Session, Warehouse

_CHUNK = 500
_FEEDS = (OPERATIONS, LEADS, FAVOURITES)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One row that is not alike: `missing` in the warehouse, `surplus` there, or `different`."""

    table: str
    client_id: int
    key: Key
    kind: str
    columns: tuple[str, ...] = ()


@dataclass
class Verification:
    """What was compared. unproven: readings that could not be compared."""

    clients: int = 0
    rows: int = 0
    unproven: int = 0
    differences: list[Difference] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """The differences as a table, by client."""
        listed = sorted(self.differences, key=lambda d: (d.client_id, d.table, str(d.key)))
        return pd.DataFrame(
            {
                "client": [d.client_id for d in listed],
                "table": [d.table for d in listed],
                "key": [", ".join(map(str, d.key)) for d in listed],
                "what": [d.kind for d in listed],
                "columns": [", ".join(d.columns) for d in listed],
            }
        )


def verify_clients(settings: Settings, warehouse: Warehouse, sample: int | None) -> Verification:
    """Compare a random sample of the roster, or all of it when `sample` is None."""
    verification = Verification()
    with warehouse.connect(autocommit=True, application_name="lcm verify") as session:
        for client_ids in _chunks(draw_clients(session, sample)):
            outcomes = asyncio.run(_read_all(settings, client_ids))
            verification.clients += len(client_ids)
            verification.unproven += sum(outcome is None for _, outcome in outcomes)
            for feed in _FEEDS:
                read = [o for f, o in outcomes if f is feed and o is not None]
                for table in feed.tables:
                    if table.name != "clients":
                        _compare(session, table, read, verification)
    return verification


async def _read_all(
    settings: Settings, client_ids: Sequence[int]
) -> list[tuple[Feed, Outcome | None]]:
    async with LoyaltyApi.from_settings(settings) as api:
        window = Window(date.max, date.max)
        sources = {
            feed.name: Source(api, window, settings.zone, settings.page_length) for feed in _FEEDS
        }
        places = asyncio.Semaphore(settings.concurrency)

        async def read(feed: Feed, client_id: int) -> tuple[Feed, Outcome | None]:
            async with places:
                return feed, await _read_one(sources[feed.name], feed, client_id)

        return await asyncio.gather(*(read(f, c) for c in client_ids for f in _FEEDS))


async def _read_one(source: Source, feed: Feed, client_id: int) -> Outcome | None:
    assignment = Assignment(client_id, source.window.last, is_whole=True)
    try:
        return await read_assigned_client(source, feed, assignment)
    except Unproven:
        return None
    except (IdentityError, ForbiddenError) as error:
        raise SyncFailed(str(error)) from error
    except LoyaltyApiError:
        return None


def _chunks(client_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (client_ids[at : at + _CHUNK] for at in range(0, len(client_ids), _CHUNK))


def _compare(
    session: Session,
    table: CoreTable,
    outcomes: Sequence[Outcome],
    verification: Verification,
) -> None:
    client_ids = [outcome.assignment.client_id for outcome in outcomes]
    theirs = _index(table, (r for o in outcomes for r in o.landing.records.get(table.name, ())))
    ours = _index(table, live_rows(session, table, client_ids))
    verification.rows += len(theirs)
    for key in theirs.keys() | ours.keys():
        there, here = theirs.get(key), ours.get(key)
        if there != here:
            verification.differences.append(_difference(table, key, there, here))


def _index(table: CoreTable, rows: Any) -> dict[Key, dict[str, Any]]:
    """Rows by key: of landing records or of core rows, without the columns that tell nothing."""
    left_out = {"extra"} | ({"snapshot_date"} if table.name == LATEST_ONLY else set())
    key_columns = [name for name in table.key if name not in left_out]
    found = {}
    for row in rows:
        names = table.landing_columns if len(row) == len(table.landing_columns) else table.columns
        values = dict(zip(names, row, strict=True))
        kept = {name: values[name] for name in table.columns if name not in left_out}
        found[tuple(values[name] for name in key_columns)] = kept
    return found


def _difference(
    table: CoreTable, key: Key, there: dict[str, Any] | None, here: dict[str, Any] | None
) -> Difference:
    client_id = int((there or here or {})["client_id"])
    if here is None:
        return Difference(table.name, client_id, key, "missing")
    if there is None:
        return Difference(table.name, client_id, key, "surplus")
    columns = tuple(name for name, value in there.items() if value != here[name])
    return Difference(table.name, client_id, key, "different", columns)
