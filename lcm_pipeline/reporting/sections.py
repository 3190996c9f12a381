"""The tables of a page that are not daily measures: points, stores, segments, cohorts, leads.

They only sort, count and divide the rows of the marts; the marts define what a number means.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from lcm_pipeline.reporting.figures import Figures

MAX_STORES = 5
# With fewer judged leads than this share of all, the share of hits means nothing.
LEAST_KNOWN = Decimal("0.5")
AGES = ("0-1", "2-3", "4-7", "8-30", "31+")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Stores:
    """Stores by net sales of the day: the best in top, the worst in flop, the weakest first.

    If there are only a few stores, all of them are in top.
    """

    top: Rows
    flop: Rows
    count: int


@dataclass(frozen=True)
class ResponseTimes:
    """Leads that met a limit in hours, missed it, or whose response time is not known."""

    limit_hours: int
    hit: int
    missed: int
    unknown: int

    @property
    def judged(self) -> int:
        """Leads that are known to have met or missed the limit."""
        return self.hit + self.missed

    @property
    def total(self) -> int:
        """All leads."""
        return self.judged + self.unknown

    @property
    def hit_share(self) -> Decimal | None:
        """hit / judged; None when too few of all are judged (LEAST_KNOWN)."""
        if not self.judged or self.judged < LEAST_KNOWN * self.total:
            return None
        return Decimal(self.hit) / self.judged


@dataclass(frozen=True)
class Cohort:
    """The members who registered in a month.

    cells: for each month since then, the retention (0 to 1) and whether that month has ended; None
    for the retention of months whose operations are not stored any more.
    """

    month: date
    members: int
    cells: list[tuple[Decimal | None, bool]]


def sum_liability(figures: Figures) -> dict[str, Any] | None:
    """Points and money owed at the end of the day; None if the day has no lots.

    expected_breakage: the share that was taken off, on average where bonus sources have their own.
    is_late: the balance was read after the day and rolled back to it.
    """
    rows = figures["liability"]
    if rows.empty:
        return None
    sums = {name: rows[name].sum() for name in rows.columns if name.endswith(("points", "value"))}
    has_source_breakage = bool(rows["has_source_breakage"].any())
    breakage = figures.standing["expected_breakage"]
    if has_source_breakage and sums["outstanding_points"]:
        breakage = 1 - sums["expected_points"] / sums["outstanding_points"]
    return {
        **sums,
        "expected_breakage": breakage,
        "has_source_breakage": has_source_breakage,
        "is_late": rows["observed_date"].max() > figures.day,
    }


def rank_stores(figures: Figures) -> Stores:
    """The stores that sold in the last 28 days, by net sales of the day."""
    rows = _with_average_cheque(figures["stores"])
    if len(rows) <= 2 * MAX_STORES:
        return Stores(rows, [], len(rows))
    return Stores(rows[:MAX_STORES], rows[: -MAX_STORES - 1 : -1], len(rows))


def rank_period_stores(figures: Figures) -> Rows:
    """The stores that sold in a period or in the one before, by net sales of the period."""
    return _with_average_cheque(figures["store_periods"])


def share_segments(figures: Figures) -> Rows:
    """RFM segments, each with its share of the clients and of the net sales (0 to 1)."""
    rows = figures["segments"].to_dict("records")
    clients = sum(row["clients"] for row in rows)
    sales = sum(row["net_sales"] for row in rows)
    return [
        {
            **row,
            "clients_share": _divide(row["clients"], clients),
            "sales_share": _divide(row["net_sales"], sales),
        }
        for row in rows
    ]


def lay_out_cohorts(figures: Figures) -> list[Cohort]:
    """Cohorts by month of registration, the oldest first."""
    last = figures.standing["operations_day"]
    cohorts = []
    for month, group in figures["cohorts"].groupby("cohort_month", sort=True):
        retention = dict(zip(group["month_number"], group["retention"], strict=True))
        cells = [
            (retention.get(number), _has_month_ended(month, number, last))
            for number in range(max(retention) + 1)
        ]
        cohorts.append(Cohort(month, int(group["members"].iloc[0]), cells))
    return cohorts


def count_response_times(figures: Figures, column: str, limit: str) -> ResponseTimes:
    """Count recent leads by whether they met a limit.

    column: `first_change_sla` or `closing_sla`. limit: the parameter that holds its hours.
    """
    rows = figures["lead_answers"]
    recent = rows[rows["is_recent"].astype(bool)]
    hit, missed = (int(recent[recent[column] == word]["leads"].sum()) for word in ("hit", "missed"))
    unknown = int(recent["leads"].sum()) - hit - missed
    return ResponseTimes(figures.standing[limit], hit, missed, unknown)


def age_backlog(figures: Figures) -> list[tuple[str, int]]:
    """Open leads by age in days."""
    rows = figures["lead_answers"]
    still_open = rows[rows["is_open"].astype(bool)]
    return [(age, int(still_open[still_open["age_bucket"] == age]["leads"].sum())) for age in AGES]


def stack_liability(
    rows: pd.DataFrame, labels: Iterable[str], colours: tuple[str, str]
) -> pd.DataFrame:
    """Points by month of expiry as `label`, `colour`, `value`: active ones, then pending ones."""
    pieces = zip(labels, rows["active_points"], rows["pending_points"], strict=True)
    stacked = [
        (label, colour, float(value))
        for label, *values in pieces
        for colour, value in zip(colours, values, strict=True)
    ]
    return pd.DataFrame(stacked, columns=["label", "colour", "value"])


def _has_month_ended(month: date, months_since: int, last: date) -> bool:
    months = (last.year - month.year) * 12 + last.month - month.month
    is_last_day = (last + timedelta(days=1)).day == 1
    return months_since < months or (months_since == months and is_last_day)


def _with_average_cheque(stores: pd.DataFrame) -> Rows:
    return [
        {**row, "average_cheque": _divide(row["purchase_amount"], row["purchases"])}
        for row in stores.to_dict("records")
    ]


def _divide(part: Any, whole: Any) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if whole else None
