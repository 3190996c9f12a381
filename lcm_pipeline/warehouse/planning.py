"""What the warehouse can say of the cost of a window before it is read."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from lcm_pipeline.model.windows import Window
from lcm_pipeline.warehouse.statements import query


@dataclass(frozen=True)
class KnownCost:
    """Clients read before, clients never read, rows of the former, requests to read them again."""

    known: int
    unknown: int
    rows: int
    requests: float


def cost_of_known_clients(
    session: psycopg.Connection,
    endpoint: str,
    window: Window,
    *,
    page_length: int,
    audit_share: float,
    has_details: bool,
) -> KnownCost:
    """The cost of a window for the clients on the roster."""
    values = {
        "endpoint": endpoint,
        "last": window.last,
        "days": len(window),
        "page_length": page_length,
        "audit_share": audit_share,
        "has_details": has_details,
    }
    with session.cursor(row_factory=class_row(KnownCost)) as cursor:
        cost = cursor.execute(query("planned_clients"), values).fetchone()
    assert cost is not None  # noqa: S101 - an aggregate answers one row
    return cost
