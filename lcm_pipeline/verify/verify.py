"""Reads clients from the API again and reports which rows differ from the warehouse.

Reads both sides and writes to neither; `repair` writes. A row that changed since it was synced
differs too: verify right after a sync to check the sync, or later to see how stale the warehouse
is. Registrations are not compared, as each sync polls them again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.feeds import CLIENT_FEEDS, ClientFeed
from lcm_pipeline.model.tables import clients
from lcm_pipeline.model.tasks import Outcome, Task
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.client import read_client_task
from lcm_pipeline.sync.errors import Advice
from lcm_pipeline.sync.fan_out import FanOut
from lcm_pipeline.sync.progress import LoggedProgress, Progress
from lcm_pipeline.sync.service_monitor import ServiceMonitor
from lcm_pipeline.sync.shared_limits import Priority, sharing_limits
from lcm_pipeline.sync.source import Source
from lcm_pipeline.verify.compare import Difference, compare_clients
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.live_rows import draw_clients
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_CHUNK = 1_000
_ADVICE = Advice("Nothing was changed", "run the same command again when the service responds")


@dataclass
class Verification:
    """What was compared. unproven: readings that could not be compared. requests: sent in total."""

    clients: int = 0
    rows: int = 0
    unproven: int = 0
    requests: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything was compared, and nothing differs."""
        return not self.differences and not self.unproven

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


def verify_clients(
    settings: Settings, warehouse: Warehouse, sample: int | None, progress: Progress | None = None
) -> Verification:
    """Compare a random sample of the roster, or all of it when `sample` is None.

    Raises SyncError when the service gives no usable response.
    """
    with warehouse.connect(application_name="lcm verify") as session:
        drawn = draw_clients(session, sample)
    return verify_these(settings, warehouse, drawn, progress)


def verify_these(
    settings: Settings,
    warehouse: Warehouse,
    client_ids: Sequence[int],
    progress: Progress | None = None,
) -> Verification:
    """Compare some clients, feed by feed; memory holds what is in flight. Raises SyncError."""
    progress = progress or LoggedProgress()
    with ReconnectingSession(warehouse, "lcm verify") as reconnecting:
        return asyncio.run(_verify(settings, warehouse, reconnecting, client_ids, progress))


async def _verify(
    settings: Settings,
    warehouse: Warehouse,
    reconnecting: ReconnectingSession,
    client_ids: Sequence[int],
    progress: Progress,
) -> Verification:
    verification = Verification(clients=len(client_ids))
    kept_from = reconnecting.run(read_kept_from)
    async with (
        LoyaltyApi.from_settings(settings) as api,
        sharing_limits(settings, warehouse, api.gate, Priority.BACKFILL),
    ):
        for feed in CLIENT_FEEDS if client_ids else ():
            source = Source(
                api,
                # The rows are compared and not published, so the day of a snapshot does not matter.
                Window(date.max, date.max),
                settings.zone,
                settings.page_length,
                kept_from=kept_from,
                pseudonyms=settings.pseudonyms,
            )
            verifier = _Verifier(feed, source, reconnecting, progress, verification)
            progress.start(feed.name, len(client_ids), 0)
            monitor = ServiceMonitor(verifier.read, settings.concurrency, advice=_ADVICE)
            fan_out = FanOut(
                monitor.read_task, verifier.record, settings.concurrency, advice=_ADVICE
            )
            chunks = (
                [Task(client_id, must_be_full=True) for client_id in client_ids[at : at + _CHUNK]]
                for at in range(0, len(client_ids), _CHUNK)
            )
            await fan_out.run(chunks)
            await monitor.check_at_end()
            progress.finish(feed.name)
        verification.requests = api.counts.requests
    return verification


@dataclass(frozen=True)
class _Verifier:
    """Reads clients of one feed in full, and compares their rows instead of staging them."""

    feed: ClientFeed
    source: Source
    reconnecting: ReconnectingSession
    progress: Progress
    verification: Verification

    async def read(self, task: Task) -> Outcome:
        return await read_client_task(self.source, self.feed, task)

    def record(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        proven = [outcome for outcome in outcomes if outcome.status == "done"]
        self.verification.unproven += len(outcomes) - len(proven)
        # Clients come from registrations; these feeds only add a phone.
        tables = [table for table in self.feed.tables if table is not clients]
        comparisons = self.reconnecting.run(
            lambda session: [compare_clients(session, table, proven) for table in tables]
        )
        for comparison in comparisons:
            self.verification.rows += comparison.rows
            self.verification.differences += comparison.differences
        self.progress.advance(self.feed.name, len(proven))
        if len(proven) < len(outcomes):
            self.progress.fail(self.feed.name, len(outcomes) - len(proven))
        return ()
