"""One programme, every feed, one window: the shortest run of the engine."""

from datetime import date

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from tests.conftest import MakeSettings, Programme


def test_a_second_sync_of_the_same_days_changes_no_row(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    engine = SyncEngine(make_settings(programme(), warehouse), warehouse)
    window = Window(date(2026, 3, 1), date(2026, 3, 30))
    first = [engine.sync(feed, window) for feed in FEEDS]
    again = [engine.sync(feed, window) for feed in FEEDS]
    assert all(report.rows_written > 0 and report.is_complete for report in first)
    assert [(report.rows_written, report.rows_deleted) for report in again] == [(0, 0)] * len(FEEDS)
