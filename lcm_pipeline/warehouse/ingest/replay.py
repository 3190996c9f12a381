"""Replays quarantined rows: the next sync reads their clients and days in full again."""

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query


def forget_quarantined(warehouse: Warehouse) -> int:
    """Mark clients and days with open quarantine as not up to date; returns their number.

    Abandons an unfinished command: resumed, it would not read again the feeds it has published.
    """
    with warehouse.connect(application_name="lcm replay") as session:
        session.execute(query("abandon_commands"))
        clients = session.execute(query("forget_quarantined_clients")).rowcount
        return clients + session.execute(query("forget_days")).rowcount
