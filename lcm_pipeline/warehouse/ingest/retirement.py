"""Retiring clients by hand, and reinstating them; see the table sync.retired_clients."""

from collections.abc import Sequence

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.ingest.runs import abandon_commands
from lcm_pipeline.warehouse.queries import query


def retire(warehouse: Warehouse, client_ids: Sequence[int]) -> None:
    """Retire clients, all or none.

    Raises UsageError if one is not in the roster, or was retired by hand already.
    """
    with warehouse.connect(application_name="lcm retire") as session, session.transaction():
        rows = session.execute(query("retire_by_hand"), {"clients": list(client_ids)}).fetchall()
        _require_all(client_ids, rows, "is not in the roster, or is retired by hand already")
        session.execute(query("resolve_retired_quarantine"))
        session.execute(query("clear_retired_state"))


def reinstate(warehouse: Warehouse, client_ids: Sequence[int]) -> None:
    """Reinstate retired clients, all or none; the next sync reads them in full.

    Raises UsageError if one is not retired.
    """
    with warehouse.connect(application_name="lcm retire") as session, session.transaction():
        rows = session.execute(query("reinstate_by_hand"), {"clients": list(client_ids)}).fetchall()
        _require_all(client_ids, rows, "is not retired")
        abandon_commands(session)


def _require_all(client_ids: Sequence[int], done: Sequence[tuple[int]], problem: str) -> None:
    missing = sorted(set(client_ids) - {row[0] for row in done})
    if missing:
        listed = "\n".join(f"client {client_id} {problem}" for client_id in missing)
        raise UsageError(f"{listed}\nNothing was changed")
