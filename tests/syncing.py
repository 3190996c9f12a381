"""Shared helpers for tests of whole syncs: all feeds in their order, and the days to sync."""

from datetime import date

from lcm_pipeline import feeds
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.report import SyncReport
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.status import FeedOverview, read_overview

MARCH = Window(date(2026, 3, 1), date(2026, 3, 30))
MARCH_OPTIONS = ("--from", str(MARCH.first), "--to", str(MARCH.last))
FEEDS = tuple(feed.name for feed in feeds.FEEDS)


def overview_of(warehouse: Warehouse) -> dict[str, FeedOverview]:
    """The overview of each feed, by its name."""
    return {feed.feed: feed for feed in read_overview(warehouse)}


def registered_by(warehouse: Warehouse, day: date) -> int:
    """How many clients of the roster had registered by the end of a day."""
    with warehouse.connect() as session:
        row = session.execute(
            "select count(*) from core.clients where registration_date <= %s", (day,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def sync_everything(
    settings: Settings, warehouse: Warehouse, window: Window = MARCH
) -> dict[str, SyncReport]:
    """Sync every feed; returns the reports by feed."""
    engine = SyncEngine(settings, warehouse)
    return {feed.name: engine.sync(feed, window) for feed in feeds.FEEDS}
