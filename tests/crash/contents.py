"""The rows of a warehouse, without columns that differ from run to run: times, run numbers.

Two warehouses that were synced from the same source have equal contents, no matter how many crashes
there were: the rows of core, including deleted ones, and the earlier versions in history.
"""

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Warehouse

Contents = dict[str, list[str]]

_OF_A_RUN = [
    "sync_run_id", "first_seen_at", "synced_at", "named_at", "valid_from", "valid_to", "deleted_at",
]  # fmt: skip
_TABLES = """
select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where nspname in ('core', 'history') and relkind in ('r', 'p') and not relispartition
  and (%(names)s::text[] is null or relname = any(%(names)s))
order by 1, 2
"""
_TORN_STATE = """
select count(*) from (
    select client_id, source_total from sync.client_state
    where feed = 'operations' and source_total is not null
) as state
full join (
    select client_id, count(*) as rows from core.operations where deleted_at is null group by 1
) as live using (client_id)
where coalesce(source_total, 0) <> coalesce(rows, 0)
"""
_OVERLAPPING_HISTORY = """
select count(*) from (
    select
        valid_from, valid_to, lag(valid_to) over (partition by {key} order by valid_to) as earlier
    from history.{table}
) as versions
where valid_from > valid_to or valid_from < earlier
"""
_KEYS = {
    "operations": "client_id, component_type, operation_id, operation_date",
    "leads": "client_id, lead_id, lead_date",
    "favourite_offers": "client_id, favourite_id, offer_date",
}


def contents(warehouse: Warehouse) -> Contents:
    """All rows of core and history as text, each marked whether it is deleted."""
    with warehouse.connect() as session:
        names = session.execute(_TABLES, {"names": None}).fetchall()
        return {f"{schema}.{table}": _rows(session, schema, table) for schema, table in names}


def digest(session: psycopg.Connection[Any], tables: list[str] | None = None) -> str:
    """One value for all rows of `contents`, from a single statement and so of a single moment."""
    names = session.execute(_TABLES, {"names": tables}).fetchall()
    parts = SQL(" union all ").join(
        SQL(
            "select {label} || md5(coalesce(string_agg(line, '|' order by line), ''))"
            " from ({lines}) as one"
        ).format(label=f"{schema}.{table} ", lines=_lines(schema, table))
        for schema, table in names
    )
    found = session.execute(SQL("select string_agg(part, ' ') from ({}) p (part)").format(parts))
    row = found.fetchone()
    return str(row[0]) if row else ""


def torn_clients(session: psycopg.Connection[Any]) -> int:
    """The number of clients whose operations and stored total are from different publishes."""
    row = session.execute(_TORN_STATE).fetchone()
    return int(row[0]) if row else 0


def overlapping_versions(warehouse: Warehouse) -> int:
    """The number of versions in history that end before they begin, or overlap the previous one."""
    total = 0
    with warehouse.connect() as session:
        for table, key in _KEYS.items():
            text = _OVERLAPPING_HISTORY.format(table=table, key=key)
            row = session.execute(text.encode()).fetchone()
            total += int(row[0]) if row else 0
    return total


def compare(expected: Contents, found: Contents) -> tuple[list[str], list[str]]:
    """Return the rows that are lost, and the surplus rows: unexpected ones and duplicates."""
    lost: list[str] = []
    surplus: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        left = list(found.get(name, []))
        for line in expected.get(name, []):
            if line in left:
                left.remove(line)
            else:
                lost.append(f"{name} {line}")
        surplus += [f"{name} {line}" for line in left]
    return lost, surplus


def _rows(session: psycopg.Connection[Any], schema: str, table: str) -> list[str]:
    return [row[0] for row in session.execute(_lines(schema, table) + SQL(" order by 1"))]


def _lines(schema: str, table: str) -> Any:
    return SQL(
        "select ((to_jsonb(stored) - {left_out}::text[]) || jsonb_build_object('is_deleted',"
        " to_jsonb(stored) ->> 'deleted_at' is not null))::text as line from {name} as stored"
    ).format(left_out=_OF_A_RUN, name=Identifier(schema, table))
