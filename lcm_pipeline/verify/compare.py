"""Compares rows that were just read with the rows of core, column by column.

Only names of columns leave this module, never their values: they may be personal data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import Outcome
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.live_rows import live_rows

Key = tuple[Any, ...]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One row that differs. kind: `missing` or `surplus` in the warehouse, or `different`."""

    table: str
    client_id: int
    key: Key
    kind: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """rows: those of the source. differences: rows that are not equal on both sides."""

    rows: int
    differences: list[Difference]


def compare_clients(session: Session, table: CoreTable, outcomes: Sequence[Outcome]) -> Comparison:
    """Compare one table for the clients of some proven readings, as far as these cover it."""
    # Without unknown fields, and without the day of a snapshot.
    left_out = {"extra", table.date_column} if table.is_snapshot else {"extra"}
    columns = tuple(name for name in table.columns if name not in left_out)
    covering = [outcome for outcome in outcomes if table.name not in outcome.staged.omitted_tables]
    records = [row for o in covering for row in o.staged.records.get(table.name, ())]
    source_rows = _index(table, table.staging_columns, columns, records)
    client_ids = [o.task.client_id for o in covering if o.task.client_id is not None]
    warehouse_rows = _index(table, table.columns, columns, live_rows(session, table, client_ids))
    if "present" in table.staging_columns:
        _fill_omitted(table, columns, records, source_rows, warehouse_rows)
    differences = [
        _difference(table, columns, key, source_rows.get(key), warehouse_rows.get(key))
        for key in source_rows.keys() | warehouse_rows.keys()
        if source_rows.get(key) != warehouse_rows.get(key)
    ]
    return Comparison(len(source_rows), differences)


def _fill_omitted(
    table: CoreTable,
    columns: Sequence[str],
    records: Iterable[Row],
    source_rows: dict[Key, Row],
    warehouse_rows: dict[Key, Row],
) -> None:
    """Replace a number that a response omits by the stored one: an absent value stays as it is."""
    keys = [name for name in table.key if name in columns]
    present_at = table.staging_columns.index("present")
    for record in records:
        key = tuple(record[table.staging_columns.index(name)] for name in keys)
        if key in warehouse_rows:
            source_rows[key] = tuple(
                there if name in record[present_at] or name in keys else here
                for name, there, here in zip(
                    columns, source_rows[key], warehouse_rows[key], strict=True
                )
            )


def _index(
    table: CoreTable, given: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> dict[Key, Row]:
    """The compared columns of rows, by key."""
    positions = [given.index(name) for name in columns]
    key_positions = [given.index(name) for name in table.key if name in columns]
    return {
        tuple([row[at] for at in key_positions]): tuple([row[at] for at in positions])
        for row in rows
    }


def _difference(
    table: CoreTable, columns: Sequence[str], key: Key, there: Row | None, here: Row | None
) -> Difference:
    client_id = int((there or here or ())[columns.index("client_id")])
    if here is None or there is None:
        return Difference(table.name, client_id, key, "missing" if here is None else "surplus")
    unlike = tuple(name for name, a, b in zip(columns, there, here, strict=True) if a != b)
    return Difference(table.name, client_id, key, "different", unlike)
