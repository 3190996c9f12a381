"""Holds rows that were just read against the rows of core, column by column.

Only names of columns leave this module, never their values: they may be personal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lcm_pipeline.model.readings import Outcome
from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.live_rows import LATEST_ONLY, live_rows

Key = tuple[Any, ...]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One row that is not alike: `missing` in the warehouse, `surplus` there, or `different`."""

    table: str
    client_id: int
    key: Key
    kind: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """rows: that the source has. differences: rows that are not alike on both sides."""

    rows: int
    differences: list[Difference]


def compare_clients(session: Session, table: CoreTable, outcomes: Sequence[Outcome]) -> Comparison:
    """Compare one table for the clients of some proven readings, as far as these cover it."""
    columns = _compared_columns(table)
    telling = [outcome for outcome in outcomes if table.name not in outcome.landing.untold]
    records = [row for o in telling for row in o.landing.records.get(table.name, ())]
    theirs = _index(table, table.landing_columns, columns, records)
    client_ids = [o.task.client_id for o in telling if o.task.client_id is not None]
    ours = _index(table, table.columns, columns, live_rows(session, table, client_ids))
    if "told" in table.landing_columns:
        _take_over_untold(table, columns, records, theirs, ours)
    differences = [
        _difference(table, columns, key, theirs.get(key), ours.get(key))
        for key in theirs.keys() | ours.keys()
        if theirs.get(key) != ours.get(key)
    ]
    return Comparison(len(theirs), differences)


def _take_over_untold(
    table: CoreTable,
    columns: Sequence[str],
    records: Iterable[Row],
    theirs: dict[Key, Row],
    ours: dict[Key, Row],
) -> None:
    """Replace a number that a response left out by the one that is stored."""
    keys = [name for name in table.key if name in columns]
    told_at = table.landing_columns.index("told")
    for record in records:
        key = tuple(record[table.landing_columns.index(name)] for name in keys)
        if key in ours:
            theirs[key] = tuple(
                there if name in record[told_at] or name in keys else here
                for name, there, here in zip(columns, theirs[key], ours[key], strict=True)
            )


def _compared_columns(table: CoreTable) -> tuple[str, ...]:
    """The columns that are compared: not unknown fields, nor the day of the statistics."""
    left_out = {"extra"} | ({"snapshot_date"} if table.name == LATEST_ONLY else set())
    return tuple(name for name in table.columns if name not in left_out)


def _index(
    table: CoreTable, given: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> dict[Key, Row]:
    """The compared columns of rows, by key."""
    places = [given.index(name) for name in columns]
    key_places = [given.index(name) for name in table.key if name in columns]
    return {
        tuple([row[at] for at in key_places]): tuple([row[at] for at in places]) for row in rows
    }


def _difference(
    table: CoreTable, columns: Sequence[str], key: Key, there: Row | None, here: Row | None
) -> Difference:
    client_id = int((there or here or ())[columns.index("client_id")])
    if here is None or there is None:
        return Difference(table.name, client_id, key, "missing" if here is None else "surplus")
    unlike = tuple(name for name, a, b in zip(columns, there, here, strict=True) if a != b)
    return Difference(table.name, client_id, key, "different", unlike)
