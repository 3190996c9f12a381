"""The numbers of a day beside those of the day before and of the same weekday a week ago.

Each says what it is made of, so that it is marked when one of its tables is not complete. A ratio
is a sum / a sum; balances are compared, never added up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from lcm_pipeline.reporting import formats
from lcm_pipeline.reporting.completeness import State
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.formats import Number

OPERATIONS, REGISTRATIONS = ("operations",), ("registrations",)
LEADS, FAVOURITES = ("leads",), ("favourite_offers",)


@dataclass(frozen=True)
class Measure:
    """A column of a daily answer; with `per`, the ratio of two. defined_by: its mart and column.

    is_growing: what is counted of a day still grows or shrinks after it, so a younger day cannot be
    compared with an older one.
    """

    column: str
    russian: str
    english: str
    tables: tuple[str, ...]
    defined_by: str
    write: Callable[[Number | None], str] = formats.count
    per: str | None = None
    is_growing: bool = False

    def value(self, row: dict[str, Any]) -> Number | None:
        """The number in a row of the answer; None when it is not known."""
        number: Number | None = row[self.column]
        if self.per is None or number is None:
            return number
        return Decimal(number) / Decimal(row[self.per]) if row[self.per] else None


PROGRAMME = (
    Measure("net_sales", "Чистые продажи", "Net sales", OPERATIONS, "program_daily.net_sales",
            formats.money),
    Measure("purchases", "Покупки", "Purchases", OPERATIONS, "program_daily.purchases"),
    Measure("buyers", "Покупатели", "Buyers", OPERATIONS, "program_daily.buyers"),
    Measure("purchase_amount", "Средний чек", "Average cheque", OPERATIONS,
            "store_daily.average_cheque", formats.money, per="purchases"),
    Measure("refund_amount", "Доля возвратов", "Refund rate", OPERATIONS,
            "refunds.refund_rate_by_amount", formats.share, per="purchase_amount"),
    Measure("new_members", "Новые участники", "New members", REGISTRATIONS,
            "program_daily.new_members"),
    Measure("members", "Участники всего", "Members so far", REGISTRATIONS,
            "program_daily.members"),
    Measure("points_added", "Начислено баллов", "Points added", OPERATIONS,
            "program_daily.points_added", formats.points),
    Measure("points_redeemed", "Списано баллов", "Points redeemed", OPERATIONS,
            "program_daily.points_redeemed", formats.points),
    Measure("points_activated", "Активировано баллов", "Points activated", OPERATIONS,
            "program_daily.points_activated", formats.points),
    Measure("points_expired", "Сгорело баллов", "Points expired", OPERATIONS,
            "program_daily.points_expired", formats.points),
    Measure("active_balance", "Активные баллы", "Active balance", OPERATIONS,
            "program_daily.active_balance", formats.points),
    Measure("pending_balance", "Ожидающие баллы", "Pending balance", OPERATIONS,
            "program_daily.pending_balance", formats.points),
)  # fmt: skip
LEAD_MEASURES = (
    Measure("leads", "Новые обращения", "New leads", LEADS, "leads_daily.leads"),
    Measure("unread_leads", "Из них непрочитанные", "Of them, unread", LEADS,
            "leads_daily.unread_leads", is_growing=True),
)  # fmt: skip
FAVOURITE_MEASURES = (
    Measure("offered", "Предложено", "Offered", FAVOURITES, "favourite_uptake.offered"),
    Measure("confirmed", "Подтверждено", "Confirmed", FAVOURITES, "favourite_uptake.confirmed",
            is_growing=True),
    Measure("missed", "Пропущено", "Missed", FAVOURITES, "favourite_uptake.missed",
            is_growing=True),
    Measure("active", "Действуют", "In effect", FAVOURITES, "favourite_uptake.active"),
    Measure("slots_used", "Занято мест", "Slots used", FAVOURITES,
            "favourite_uptake.slots_used_share", formats.share, per="slots"),
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A number of one day, and how far it can be trusted. is_late: a balance, read later."""

    value: Number | None
    text: str
    state: State
    is_late: bool = False


@dataclass(frozen=True)
class Line:
    """A measure on the day, the day before, and a week before, with the changes in words."""

    measure: Measure
    definition: str
    now: Reading
    day_before: Reading
    week_before: Reading
    since_day_before: str
    since_week_before: str


def compare(figures: Figures, answer: str, measures: tuple[Measure, ...]) -> list[Line]:
    """A line for each measure, from the rows of a daily answer."""
    rows = {row["day"]: row for row in figures[answer].to_dict("records")}
    return [_line(figures, rows, measure) for measure in measures]


def days_of(figures: Figures, answer: str, measure: Measure) -> pd.DataFrame:
    """The days of a result that are known, as `day`, `value` (a float) and `is_settled`."""
    rows = figures[answer].to_dict("records")
    read = [(row["day"], _read(figures, measure, row["day"], row).value) for row in rows]
    told = [
        (day, float(value), figures.completeness.is_complete(measure.tables, day))
        for day, value in read
        if value is not None
    ]
    return pd.DataFrame(told, columns=["day", "value", "is_settled"])


def _line(figures: Figures, rows: dict[date, dict[str, Any]], measure: Measure) -> Line:
    days = [figures.day - timedelta(days=back) for back in (0, 1, 7)]
    now, day_before, week_before = (_read(figures, measure, day, rows.get(day)) for day in days)
    return Line(
        measure,
        figures.definitions.get(measure.defined_by, ""),
        now,
        day_before,
        week_before,
        _change(measure, now, day_before),
        _change(measure, now, week_before),
    )


def _change(measure: Measure, now: Reading, before: Reading) -> str:
    if measure.is_growing:
        return formats.NOTHING
    if measure.write is formats.share:
        return formats.share_change(now.value, before.value)
    return formats.change(now.value, before.value)


def _read(figures: Figures, measure: Measure, day: date, row: dict[str, Any] | None) -> Reading:
    state = figures.completeness.worst(measure.tables, day)
    value = None if row is None or state is State.MISSING else measure.value(row)
    observed = (row or {}).get("balance_observed_date")
    is_late = "balance" in measure.column and observed is not None and observed > day
    return Reading(value, measure.write(value), state, is_late and value is not None)
