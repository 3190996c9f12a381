"""Old rows of the outbox, the quarantine and the ledgers: counted, or deleted.

They are deleted some thousands at a time, in one pass over each table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import composed, queries

# Blocks of a table per transaction. A block holds some dozens of rows.
_BLOCKS_AT_ONCE = 128
# Queries that list old rows, with their tables: referring tables come before the referenced ones.
_OLD_ROWS = {
    "old_attempts": ("outbox", "attempts"),
    "old_updates": ("outbox", "profile_updates"),
    "old_pushes": ("outbox", "pushes"),
    "old_quarantine": ("sync", "quarantine"),
    "old_tasks": ("sync", "fetches"),
    "old_runs": ("sync", "runs"),
    "old_commands": ("sync", "commands"),
    "old_window_days": ("sync", "window_days"),
    "old_published_days": ("mart", "published_days"),
    "old_published_months": ("mart", "published_months"),
    "old_restated_answers": ("mart", "restated_answers"),
}


@dataclass(frozen=True)
class OldRows:
    """Rows of one table that are older than the limit.

    is_estimate: `rows` is Postgres' estimate, of the last analyze of a month; otherwise counted.
    left: why they are still stored; "" if they were removed, or would be.
    """

    table: str
    rows: int
    bytes: int
    left: str = ""
    is_estimate: bool = False


def count_old_rows(session: Session, values: Mapping[str, Any]) -> Iterator[OldRows]:
    """Count the old rows of each table. values: the parameters `kept_from` and `before`."""
    for name, table in _OLD_ROWS.items():
        row = session.execute(composed("count_old", listed=SQL(queries()[name])), values)
        rows, size = row.fetchone() or (0, 0)
        yield OldRows(".".join(table), rows, size)


def delete_old_rows(session: Session, values: Mapping[str, Any]) -> Iterator[OldRows]:
    """Delete them; yields what was deleted of each table. values: as for `count_old_rows`."""
    for name, table in _OLD_ROWS.items():
        if count := _delete(session, name, table, values):
            yield OldRows(".".join(table), count, 0)


def _delete(session: Session, name: str, table: tuple[str, str], values: Mapping[str, Any]) -> int:
    """Delete the rows that a query lists, in batches of one transaction; returns how many."""
    listed = SQL(queries()[name])
    row = session.execute(composed("blocks_of_old", listed=listed), values).fetchone()
    first_block, last_block = row or (None, None)
    if first_block is None or last_block is None:
        return 0
    statement = composed("delete_old", table=Identifier(*table), listed=listed)
    deleted = 0
    for tids in tid_ranges(first_block, last_block, _BLOCKS_AT_ONCE):
        try:
            deleted += session.execute(statement, {**values, **tids}).rowcount
        except (psycopg.errors.LockNotAvailable, psycopg.errors.ForeignKeyViolation):
            # Another session uses them: they are left for the next run.
            return deleted
    return deleted


def tid_ranges(first_block: int, last_block: int, at_once: int) -> Iterator[dict[str, str]]:
    """Ranges of tids that cover these blocks: the first tid, and the one after the last."""
    for block in range(first_block, last_block + 1, at_once):
        yield {"first": f"({block},0)", "after": f"({block + at_once},0)"}
