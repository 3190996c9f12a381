"""Reads clients that differ from the source again in full, publishes and verifies them.

The run is one of the newest day that was synced, not of yesterday: a run of a day for which no
other client was read would look like a reading of that day. A run of a synced day corrects rows
without making any day more complete than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lcm_pipeline.feeds import CLIENT_FEEDS, Feed
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.verify.reconcile import feeds_that_differ
from lcm_pipeline.verify.verify import Verification, verify_these
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.resets import missing_clients
from lcm_pipeline.warehouse.ingest.state import newest_day
from lcm_pipeline.warehouse.marts.refresh import refresh_marts


@dataclass(frozen=True)
class Repair:
    """reports: the runs that read the clients again. left: what still differs."""

    reports: tuple[SyncReport, ...]
    left: Verification


def repair_clients(engine: SyncEngine, found: Verification) -> Repair:
    """Repair the clients that a verification found to differ, under the usual fuse and proofs.

    Raises SyncError when a run stopped. After that, or a kill, the next sync reads the remaining
    clients in full.
    """
    reports = []
    for feed in CLIENT_FEEDS:
        tables = {table.name for table in feed.tables}
        clients = sorted({d.client_id for d in found.differences if d.table in tables})
        reports += _read_again(engine, feed, clients)
    everyone = sorted({d.client_id for d in found.differences})
    left = verify_these(engine.settings, engine.warehouse, everyone, engine.progress)
    return Repair(tuple(reports), left)


def refresh_after_repair(warehouse: Warehouse) -> list[str]:
    """Refresh the marts, unless totals differ; returns the feeds in which they do.

    As after a sync: marts show no facts that are known to be wrong, of clients not compared here.
    """
    wrong = feeds_that_differ(warehouse)
    if not wrong:
        refresh_marts(warehouse)
    return wrong


def read_clients_again(
    engine: SyncEngine, feeds: Sequence[Feed], client_ids: Sequence[int]
) -> list[SyncReport]:
    """Read some clients of the roster again in full, and publish them; marts are not refreshed.

    Raises UsageError if one is not in the roster, SyncError when a run stopped.
    """
    with engine.warehouse.connect(application_name="lcm sync") as session:
        unknown = missing_clients(session, client_ids)
    if unknown:
        raise UsageError(
            f"not in the roster: {', '.join(map(str, unknown))}. A sync of the day on which"
            " a client registered adds it; lcm retire --undo brings back a retired client"
        )
    return [report for feed in feeds for report in _read_again(engine, feed, client_ids)]


def _read_again(engine: SyncEngine, feed: Feed, client_ids: Sequence[int]) -> list[SyncReport]:
    """Read clients again for the newest day of a feed; no report if the feed was never synced.

    A few clients would not repair such a feed: it needs a sync.
    """
    with engine.warehouse.connect(application_name="lcm sync") as session:
        day = newest_day(session, feed.name)
    if not client_ids or day is None:
        return []
    return [engine.read_again(feed, Window(day, day), client_ids)]
