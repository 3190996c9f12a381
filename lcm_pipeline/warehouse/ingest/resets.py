"""Makes the next sync read clients and days in full, whatever is known of them."""

from collections.abc import Sequence

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.runs import abandon_commands
from lcm_pipeline.warehouse.queries import fetch_column, fetch_value, query


def missing_clients(session: Session, client_ids: Sequence[int]) -> list[int]:
    """Those of the clients that are not in the roster, or are retired."""
    return fetch_column(session, "missing_clients", {"clients": list(client_ids)})


def reset_clients(session: Session, feeds: Sequence[str], client_ids: Sequence[int] | None) -> int:
    """Mark clients as not up to date in the feeds, so that their next reading is a full one.

    client_ids: None for all clients. Returns the number of clients.
    """
    values = {"feeds": list(feeds), "clients": None if client_ids is None else list(client_ids)}
    return int(fetch_value(session, "reset_clients", values) or 0)


def reset_days(session: Session) -> int:
    """Mark all registration days as not up to date; returns their number."""
    return int(fetch_value(session, "reset_days") or 0)


def reset_quarantined(session: Session) -> int:
    """Mark clients and days with rows in quarantine as not up to date; returns their number.

    The next sync reads them, also one that goes on after an interruption.
    """
    with session.transaction():
        abandon_commands(session)
        clients = session.execute(query("reset_quarantined_clients")).rowcount
        return clients + session.execute(query("reset_quarantined_days")).rowcount
