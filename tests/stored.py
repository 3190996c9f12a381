"""The rows that a warehouse stores."""

from typing import Any

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse
from tests.documented import Table

Rows = dict[tuple[Any, ...], dict[str, Any]]


def stored_rows(warehouse: Warehouse, table: Table) -> Rows:
    """The live rows of a table by key; for the statistics, the newest row of each client."""
    names = [column.name for column in table.columns]
    if table.day:
        names.append(table.day[0])
    newest = table.name == "favourite_stats"
    statement = SQL("select {}, extra from core.{} where deleted_at is null{}").format(
        SQL(", ").join(map(Identifier, names)),
        Identifier(table.name),
        SQL(" order by client_id, snapshot_date" if newest else ""),
    )
    with warehouse.connect() as session, session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement).fetchall()
    found = {tuple(row[name] for name in table.key): row for row in rows}
    assert newest or len(found) == len(rows), f"a row of {table.name} is live on two days"
    return found


def snapshot(warehouse: Warehouse) -> dict[str, list[str]]:
    """Every row of core and history as text, with all of its columns."""
    with warehouse.connect() as session:
        names = session.execute(
            "select schemaname || '.' || tablename from pg_tables"
            " where schemaname in ('core', 'history') order by 1"
        ).fetchall()
        return {
            name: [
                row[0]
                for row in session.execute(
                    SQL("select stored::text from {} as stored order by 1").format(
                        Identifier(*name.split("."))
                    )
                )
            ]
            for (name,) in names
        }
