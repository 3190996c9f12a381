"""Lets quarantined rows have another try: their clients and days are read in full again."""

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query


def forget_quarantined(warehouse: Warehouse) -> int:
    """Forget that clients and days with open quarantine are up to date; returns how many.

    An unfinished command is given up, or the feeds that it has published would not be read again.
    """
    with warehouse.connect(application_name="lcm replay") as session:
        session.execute(query("abandon_commands"))
        clients = session.execute(query("forget_quarantined_clients")).rowcount
        return clients + session.execute(query("forget_days")).rowcount
