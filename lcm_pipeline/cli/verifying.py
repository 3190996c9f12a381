"""Verifies the warehouse against the source with bars, and mends what differs when asked to."""

from lcm_pipeline.cli.opening import migrated_warehouse
from lcm_pipeline.cli.printing import console, print_reports, print_verification
from lcm_pipeline.cli.progress_bar import ProgressBar
from lcm_pipeline.settings import Settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.sync.mending import mend_clients
from lcm_pipeline.sync.verify import Verification, verify_clients
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.mart_refreshing import refresh_marts


def verify_warehouse(settings: Settings, sample: int | None, *, fix: bool) -> bool:
    """Compare a sample of the clients, or all; answers whether everything is alike in the end."""
    with migrated_warehouse(settings) as warehouse:
        with ProgressBar() as progress:
            found = verify_clients(settings, warehouse, sample, progress)
        print_verification(found)
        if not fix or not found.differences:
            return found.is_clean
        return _mend(settings, warehouse, found) and not found.unproven


def _mend(settings: Settings, warehouse: Warehouse, found: Verification) -> bool:
    console.print("\nReading the clients that differ again:")
    with ProgressBar() as progress:
        mending = mend_clients(SyncEngine(settings, warehouse, progress), found)
    print_reports(mending.reports)
    refresh_marts(warehouse)
    console.print("\nHeld against the source once more:")
    print_verification(mending.left)
    return mending.left.is_clean
