"""Live rows of core, for comparing them with the source."""

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.warehouse.queries import query

# Has a row for each day on which it changed; the source returns only the current state.
LATEST_ONLY = "favourite_stats"


def draw_clients(session: psycopg.Connection, most: int | None) -> list[int]:
    """Up to `most` clients that were read before, in random order; None for all of them."""
    rows = session.execute(query("draw_clients"), {"most": most})
    return [row[0] for row in rows.fetchall()]


def live_rows(
    session: psycopg.Connection, table: CoreTable, client_ids: list[int]
) -> list[tuple[Any, ...]]:
    """The live rows of the clients, with the columns in the order of the table."""
    is_latest = table.name == LATEST_ONLY
    statement = SQL(
        "select {} {} from core.{} where client_id = any(%s) and deleted_at is null {}"
    ).format(
        SQL("distinct on (client_id)" if is_latest else ""),
        SQL(", ").join(map(Identifier, table.columns)),
        Identifier(table.name),
        SQL("order by client_id, snapshot_date desc" if is_latest else ""),
    )
    return session.execute(statement, (client_ids,)).fetchall()
