"""Reads clients that differ from the source again, in full, publishes them, and verifies again.

They are read in a run of the newest day that was synced, not of yesterday. A
run of a day that nobody else was read for would pass for the reading of that day; in one of a day
that is known already, rows are put right and no day becomes more complete than it is.
"""

from dataclasses import dataclass

from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.verify.verify import Verification, verify_these
from lcm_pipeline.warehouse.ingest.state import newest_day


@dataclass(frozen=True)
class Repair:
    """reports: the runs that read the clients again. left: what differs after them."""

    reports: tuple[SyncReport, ...]
    left: Verification


def repair_clients(engine: SyncEngine, found: Verification) -> Repair:
    """Repair the clients that a verification found to differ, under the usual fuse and proofs.

    Raises SyncError when a run stopped. Stopped half-way, by whatever, the next sync reads in full
    who was not repaired.
    """
    reports = []
    for feed in CLIENT_FEEDS:
        tables = {table.name for table in feed.tables}
        clients = sorted({d.client_id for d in found.differences if d.table in tables})
        with engine.warehouse.connect(application_name="lcm verify") as session:
            day = newest_day(session, feed.name)
        # A feed that was never synced is not repaired by a part of it.
        if clients and day is not None:
            reports.append(engine.read_again(feed, Window(day, day), clients))
    everyone = sorted({d.client_id for d in found.differences})
    left = verify_these(engine.settings, engine.warehouse, everyone, engine.progress)
    return Repair(tuple(reports), left)
