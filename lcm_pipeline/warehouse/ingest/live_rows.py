"""Live rows of core, for comparing them with the source."""

from typing import Any

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.merge import is_kept
from lcm_pipeline.warehouse.ingest.state import read_kept_from
from lcm_pipeline.warehouse.queries import composed, fetch_column


def draw_clients(session: Session, most: int | None) -> list[int]:
    """Up to `most` clients that were read before, in random order; None for all of them."""
    return fetch_column(session, "draw_clients", {"most": most})


def live_rows(session: Session, table: CoreTable, client_ids: list[int]) -> list[tuple[Any, ...]]:
    """The live rows of the clients, with the columns in the order of the table.

    Of a table of snapshots, the newest row of each client: the source returns no other. Without
    rows of days that are no longer kept, whose month could not be dropped yet.
    """
    statement = composed(
        "newest_live_rows" if table.is_snapshot else "live_rows",
        table=table.name,
        columns=table.columns,
        is_kept=is_kept(table, read_kept_from(session)),
    )
    return session.execute(statement, {"clients": client_ids}).fetchall()
