"""How complete a day is, by table. Every number of the page is marked accordingly.

The database defines when a day is complete (sync.day_completeness); it is read here from
mart.data_completeness. Rows in quarantine belong to no day, so they are counted separately.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pandas as pd

from lcm_pipeline.feeds import FEEDS
from lcm_pipeline.reporting.periods import Days, Period

TABLES = tuple(feed.main_table.name for feed in FEEDS if feed.has_marts)


class DayState(IntEnum):
    """How far a number can be trusted; the worst state has the greatest value."""

    COMPLETE = 0
    PARTIAL = 1
    MISSING = 2


@dataclass(frozen=True)
class TableState:
    """One table on one day. share: the share of proven clients, rounded down.

    pending: clients that the day waits for, because they failed or were never read; for
    registrations, the day itself. unread_days: registration days that were never read. deferred:
    clients that were not due yet. source_total, loaded_total and quarantined count rows of the
    whole table; a table that was never read has no totals.
    """

    table: str
    state: DayState
    share: Decimal | None = None
    loaded_rows: int | None = None
    clients: int | None = None
    pending: int | None = None
    deferred: int = 0
    unread_days: int = 0
    source_total: int | None = None
    loaded_total: int | None = None
    quarantined: int = 0
    restated_rows: int = 0
    complete_through: date | None = None
    first_published_at: datetime | None = None


class Completeness:
    """The rows of mart.data_completeness: every day of every table."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows: dict[tuple[str, date], dict[str, Any]] = {
            (row["table_name"], row["day"]): row for row in rows.to_dict("records")
        }
        self._newest = {row["table_name"]: row for row in self._rows.values()}

    @property
    def roster_from(self) -> date | None:
        """The first registration day that was read; None if no client can have joined earlier."""
        return next((row["roster_from"] for row in self._newest.values()), None)

    def days(self, tables: Iterable[str] = TABLES) -> list[date]:
        """Every day that at least one of the tables has, in order."""
        wanted = set(tables)
        return sorted({day for table, day in self._rows if table in wanted})

    def days_of(self, period: Period, last: date) -> Days:
        """The days of a period through `last`, from the first day that is known of any table."""
        known = self.days()
        return period.known_days(known[0] if known else period.first, last)

    def of(self, table: str, day: date) -> TableState:
        """The state of a table on a day."""
        row, newest = self._rows.get((table, day)), self._newest.get(table)
        if newest is None:
            return TableState(table, DayState.MISSING)
        of_table = {
            "source_total": int(newest["source_total"]),
            "loaded_total": int(newest["loaded_total"]),
            "quarantined": int(newest["quarantined_total"]),
            "complete_through": newest["complete_through"],
        }
        if row is None:
            return TableState(table, DayState.MISSING, **of_table)
        return TableState(
            table,
            DayState.COMPLETE if row["is_complete"] else DayState.PARTIAL,
            share=row["complete_share"],
            loaded_rows=int(row["loaded_rows"]),
            clients=int(row["clients"]),
            pending=int(row["pending_clients"]),
            deferred=int(row["deferred_clients"]),
            unread_days=int(row["unread_registration_days"]),
            restated_rows=int(row["restated_rows"]),
            first_published_at=row["first_published_at"],
            **of_table,
        )

    def worst(self, tables: Iterable[str], day: date) -> DayState:
        """The state of a number that is computed from several tables."""
        return max(self.of(table, day).state for table in tables)

    def least_share(self, tables: Iterable[str], day: date) -> Decimal | None:
        """The share of the least complete of several tables; None if one of them has no share."""
        shares = [self.of(table, day).share for table in tables]
        return None if None in shares else min(share for share in shares if share is not None)

    def quarantined(self, tables: Iterable[str]) -> int:
        """How many rows of several tables are in open quarantine, of all days together."""
        return sum(
            int(newest["quarantined_total"])
            for table in set(tables)
            if (newest := self._newest.get(table)) is not None
        )

    def is_complete(self, tables: Iterable[str], day: date) -> bool:
        """Whether the day is complete in every one of several tables."""
        return self.worst(tables, day) is DayState.COMPLETE
