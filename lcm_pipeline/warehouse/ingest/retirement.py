"""Retiring clients by hand, and taking them back: see sync.retired_clients."""

from collections.abc import Sequence

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query


def retire(warehouse: Warehouse, client_ids: Sequence[int]) -> list[int]:
    """Retire clients; returns those that the roster knows and that were not retired by hand."""
    with warehouse.connect(application_name="lcm retire") as session, session.transaction():
        rows = session.execute(query("retire_by_hand"), {"clients": list(client_ids)}).fetchall()
        session.execute(query("resolve_retired_quarantine"))
        session.execute(query("settle_retired_state"))
    return sorted(row[0] for row in rows)


def take_back(warehouse: Warehouse, client_ids: Sequence[int]) -> list[int]:
    """Take retired clients back, to be read in full by the next sync; returns those that were."""
    with warehouse.connect(application_name="lcm retire") as session:
        rows = session.execute(query("take_back_by_hand"), {"clients": list(client_ids)}).fetchall()
    return sorted(row[0] for row in rows)
