"""The statements of a publish for a table: sql/queries/core/publish.sql with its names filled in.

They run inside one transaction, over a view `incoming_<table>` of the staged rows to publish. Rows
are compared before they are written, so a row that did not change is not even locked.
"""

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from lcm_pipeline.model.tables import COVERED_CLIENTS, CoreTable, NameDimension
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.staging import staging_of
from lcm_pipeline.warehouse.queries import column_list, composed


class TaskRange(NamedTuple):
    """A range of the ledger of a run: the ids of its first and its last task."""

    first: int
    last: int


def statement(name: str, table: CoreTable, **parts: Composable) -> Composed:
    """The statement of that name for a table; parts: what is not the same in each publish."""
    return composed(name, **_parts_of(table), **parts)


@cache
def _parts_of(table: CoreTable) -> dict[str, Composable]:
    """The relations, columns and comparisons of a table; a statement takes those that it names."""
    values = [name for name in table.columns if name not in table.key]
    without_client = tuple(name for name in table.key if name != "client_id")
    elsewhere = tuple(name for name in table.identity if name != "client_id")
    relations = ("incoming", "changed", "doubtful", "gone", "moved")
    return {
        "core": Identifier("core", table.name),
        "history": Identifier("history", table.name),
        **{relation: Identifier(f"{relation}_{table.name}") for relation in relations},
        "columns": column_list(table.columns),
        "stored_columns": column_list(table.columns, "stored"),
        "incoming_columns": column_list(table.columns, "incoming"),
        "stored_values": column_list(values, "stored"),
        "incoming_values": column_list(values, "incoming"),
        "assignments": _assignments(values),
        "key": column_list(table.key),
        "stored_key": column_list(table.key, "stored"),
        "identity": column_list(table.identity),
        "day": Identifier(table.date_column or ""),
        "is_incoming": _equal(table.key, "stored", "incoming"),
        "is_replaced": _equal(table.key, "stored", "replaced"),
        "is_gone": _equal(table.key, "stored", "gone"),
        "is_same_row": _equal(table.identity, "stored", "changed"),
        "is_elsewhere": _equal(elsewhere, "changed", "gone"),
        "is_changed": _equal(without_client, "changed", "stored"),
        "is_same": _equal(without_client, "present", "stored"),
    }


def view_incoming(run: Run, table: CoreTable, task_range: TaskRange) -> Composed:
    """Create the view of the staged rows of some tasks."""
    staged = [name for name in table.staging_columns if name != "extra"]
    return statement(
        "view_incoming",
        table,
        staging=staging_of(run, table),
        staged_columns=column_list(staged, "staged"),
        **_range(task_range),
    )


def count_staged(
    run: Run, table: CoreTable, task_range: TaskRange, kept_from: date | None
) -> Composed:
    """Count the staged rows of each task of a range. kept_from: as in `is_kept`."""
    is_expired: Composable = SQL("false")
    if kept_from is not None and table.is_held_for_months:
        is_expired = SQL("{} < {}").format(Identifier(table.date_column or ""), Literal(kept_from))
    return statement(
        "count_staged",
        table,
        staging=staging_of(run, table),
        is_expired=is_expired,
        **_range(task_range),
    )


def collect_changed(table: CoreTable, days: tuple[date, date] | None) -> Composed:
    """Collect the rows to write. days: the first and the last of them, None if rows have no day."""
    is_within: Composable = SQL("true")
    if days is not None:
        is_within = SQL("stored.{} between {} and {}").format(
            Identifier(table.date_column or ""), *map(Literal, days)
        )
    return statement("collect_changed", table, is_within=is_within)


def collect_gone(table: CoreTable, kept_from: date | None) -> Composed:
    """Collect the rows that readings did not return. kept_from: as in `is_kept`."""
    assert table.covered_by is not None  # noqa: S101 - the others have a publish_query
    return statement(
        "collect_gone",
        table,
        covered=Identifier(table.covered_by.relation),
        is_in_scope=_equal(table.covered_by.columns, "stored", "covered"),
        is_kept=is_kept(table, kept_from),
    )


def add_moved_days_to_gone(table: CoreTable, kept_from: date | None) -> Composed:
    """Add the rows of a table with days that readings returned on another one."""
    is_among: Composable = SQL("true")
    if moves_within_clients(table):
        is_among = SQL("changed.client_id in (select client_id from {})").format(
            _parts_of(table)["doubtful"]
        )
    return statement(
        "add_moved_days_to_gone", table, is_among=is_among, is_kept=is_kept(table, kept_from)
    )


def store_names(dimension: NameDimension) -> Composed:
    """Store the newest names from incoming rows; parameter: the run."""
    source = dimension.columns
    return composed(
        "store_names",
        dimension=Identifier("core", dimension.name),
        columns=column_list(tuple(source)),
        key=Identifier(dimension.key),
        assignments=_assignments([name for name in source if name != dimension.key]),
        incoming=Identifier(f"incoming_{dimension.source}"),
        incoming_columns=column_list(tuple(source.values())),
        incoming_key=Identifier(source[dimension.key]),
        label=Identifier(source["name"]),
        moment=Identifier(dimension.moment),
    )


def moves_within_clients(table: CoreTable) -> bool:
    """Whether the total of a client can show that none of its rows moved to another day."""
    return table.date_column is not None and table.covered_by is COVERED_CLIENTS


def is_kept(table: CoreTable, kept_from: date | None) -> Composable:
    """Whether the day of a row of `stored` is kept; a constant, so that months are pruned.

    kept_from: the first day that is kept, None if all are.
    """
    if kept_from is None or not table.is_held_for_months:
        return SQL("true")
    return SQL("stored.{} >= {}").format(Identifier(table.date_column or ""), Literal(kept_from))


def _range(task_range: TaskRange) -> dict[str, Composable]:
    return {"first": Literal(task_range.first), "last": Literal(task_range.last)}


def _equal(names: Sequence[str], left: str, right: str) -> Composed:
    return SQL(" and ").join(
        SQL("{} = {}").format(Identifier(left, name), Identifier(right, name)) for name in names
    )


def _assignments(names: Sequence[str]) -> Composed:
    return SQL(", ").join(
        SQL("{} = {}").format(Identifier(name), Identifier("excluded", name)) for name in names
    )
