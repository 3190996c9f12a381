"""Rows of core as they stand, for holding them against the source again."""

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.warehouse.queries import query

# Kept for each day on which they changed; the source tells only how they are now.
LATEST_ONLY = "favourite_stats"


def draw_clients(session: psycopg.Connection, most: int | None) -> list[int]:
    """Clients that were read before, in random order; all of them when `most` is None."""
    rows = session.execute(query("draw_clients"), {"most": most})
    return [row[0] for row in rows.fetchall()]


def live_rows(
    session: psycopg.Connection, table: CoreTable, client_ids: list[int]
) -> list[tuple[Any, ...]]:
    """The live rows of some clients, in the order of the table's columns."""
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
