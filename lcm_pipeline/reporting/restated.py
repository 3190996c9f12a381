"""Which past days changed since the day before the report was published.

The mart counts the restated rows of a day since that day was first published, with the time of the
newest one. So a day is listed when something of it is new, but its counts hold all of its changes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from lcm_pipeline.reporting.completeness import TABLES
from lcm_pipeline.reporting.figures import Figures

MAX_SHOWN = 6
_KINDS = itemgetter("table_name", "reason")
_SUMS = ("rows", "amount_change", "points_change")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Restated:
    """The changes of past days.

    since: when the day before was first published, None if it never was. notable: days whose
    amounts or added points changed, the greatest change first. hidden: how many of those are not
    listed. summary: all changed days, by table and reason.
    """

    since: datetime | None
    notable: Rows
    hidden: int
    summary: Rows


def find_restated(figures: Figures) -> Restated:
    """Find the changes of the days through the day of the report."""
    before = figures.day - timedelta(days=1)
    published = {t: figures.completeness.of(t, before).first_published_at for t in TABLES}
    known = {table: moment for table, moment in published.items() if moment is not None}
    fresh = [
        row
        for row in figures["restatements"].to_dict("records")
        if (table := row["table_name"]) in known and row["last_restated_at"] > known[table]
    ]
    notable = sorted(filter(_weight, fresh), key=_weight, reverse=True)
    return Restated(
        min(known.values(), default=None),
        notable[:MAX_SHOWN],
        len(notable[MAX_SHOWN:]),
        [_sum_up(list(rows)) for _, rows in groupby(sorted(fresh, key=_KINDS), _KINDS)],
    )


def _weight(row: dict[str, Any]) -> tuple[Any, ...]:
    """The sort key of a row: money, then points; empty, and so false, if neither changed."""
    amounts = abs(row["amount_change"]), abs(row["points_change"])
    return (*amounts, row["day"]) if any(amounts) else ()


def _sum_up(rows: Rows) -> dict[str, Any]:
    sums = {name: sum(row[name] for row in rows) for name in _SUMS}
    return {**rows[0], **sums, "days": len(rows)}
