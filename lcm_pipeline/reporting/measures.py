"""Compares a day with the day before and the same weekday a week ago, and a period with the one
before it.

Each measure names its tables, so that its number is marked when one of them is not complete. A
ratio is a sum divided by a sum; balances are compared, never added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import pandas as pd

from lcm_pipeline.model.language import Language
from lcm_pipeline.reporting.completeness import DayState
from lcm_pipeline.reporting.figures import Figures
from lcm_pipeline.reporting.formats import NOTHING, Formats, Number
from lcm_pipeline.reporting.periods import Days

OPERATIONS, REGISTRATIONS = ("operations",), ("registrations",)
LEADS, FAVOURITES = ("leads",), ("favourite_offers",)
Shape = Literal["count", "points", "money", "share"]


@dataclass(frozen=True)
class Measure:
    """A column of a daily query; with `per`, the ratio of two. defined_by: its mart and column.

    is_growing: the count of a day still changes afterwards, so days of different ages cannot be
    compared. over: how the days of a week or month are aggregated: summed; the last day for a
    balance; the mean where clients are counted once a day.
    """

    column: str
    russian: str
    english: str
    tables: tuple[str, ...]
    defined_by: str
    shape: Shape = "count"
    per: str | None = None
    is_growing: bool = False
    over: Literal["sum", "last", "mean"] = "sum"

    def title(self, language: Language, *, of_period: bool = False) -> str:
        """The title in the language."""
        title = self.russian if language == "ru" else self.english
        if of_period and self.over == "mean":
            return f"{title} в день" if language == "ru" else f"{title} per day"
        return title

    def write(self, formats: Formats, value: Number | None, *, of_period: bool = False) -> str:
        """The formatted value; a mean of counts has one decimal."""
        shape = "decimal" if of_period and self.over == "mean" else self.shape
        return str(getattr(formats, shape)(value))

    def value(self, row: dict[str, Any]) -> Number | None:
        """The number in a row of the query; None if it is not known or the divisor is 0."""
        number: Number | None = row[self.column]
        if self.per is None or number is None:
            return number
        return Decimal(number) / Decimal(row[self.per]) if row[self.per] else None


PROGRAMME = (
    Measure("net_sales", "Чистые продажи", "Net sales", OPERATIONS, "program_daily.net_sales",
            "money"),
    Measure("purchases", "Покупки", "Purchases", OPERATIONS, "program_daily.purchases"),
    Measure("buyers", "Покупатели", "Buyers", OPERATIONS, "program_daily.buyers", over="mean"),
    Measure("purchase_amount", "Средний чек", "Average purchase", OPERATIONS,
            "store_daily.average_cheque", "money", per="purchases"),
    Measure("refund_amount", "Доля возвратов", "Refund rate", OPERATIONS,
            "refunds.refund_rate_by_amount", "share", per="purchase_amount"),
    Measure("new_members", "Новые участники", "New members", REGISTRATIONS,
            "program_daily.new_members"),
    Measure("members", "Всего участников", "Total members", REGISTRATIONS,
            "program_daily.members", over="last"),
    Measure("points_added", "Начислено баллов", "Points added", OPERATIONS,
            "program_daily.points_added", "points"),
    Measure("points_redeemed", "Списано баллов", "Points redeemed", OPERATIONS,
            "program_daily.points_redeemed", "points"),
    Measure("points_activated", "Активировано баллов", "Points activated", OPERATIONS,
            "program_daily.points_activated", "points"),
    Measure("points_expired", "Сгорело баллов", "Points expired", OPERATIONS,
            "program_daily.points_expired", "points"),
    Measure("active_balance", "Активные баллы", "Active balance", OPERATIONS,
            "program_daily.active_balance", "points", over="last"),
    Measure("pending_balance", "Ожидающие баллы", "Pending balance", OPERATIONS,
            "program_daily.pending_balance", "points", over="last"),
)  # fmt: skip
LEAD_MEASURES = (
    Measure("leads", "Новые обращения", "New leads", LEADS, "leads_daily.leads"),
    Measure("unread_leads", "Из них непрочитанные", "Of which unread", LEADS,
            "leads_daily.unread_leads", is_growing=True),
)  # fmt: skip
FAVOURITE_MEASURES = (
    Measure("offered", "Предложено", "Offered", FAVOURITES, "favourite_uptake.offered"),
    Measure("confirmed", "Подтверждено", "Confirmed", FAVOURITES, "favourite_uptake.confirmed",
            is_growing=True),
    Measure("missed", "Пропущено", "Missed", FAVOURITES, "favourite_uptake.missed",
            is_growing=True),
    Measure("active", "Действуют", "Active", FAVOURITES, "favourite_uptake.active",
            over="last"),
    Measure("slots_used", "Занято мест", "Slots used", FAVOURITES,
            "favourite_uptake.slots_used_share", "share", per="slots", over="last"),
)  # fmt: skip


@dataclass(frozen=True)
class MeasuredValue:
    """A number of a day or a period, and how far it can be trusted.

    is_late: a balance that was read after the day and rolled back to it.
    """

    value: Number | None
    text: str
    state: DayState
    is_late: bool = False


@dataclass(frozen=True)
class Comparison:
    """An earlier number of a measure, with the formatted change since then."""

    before: MeasuredValue
    change: str


@dataclass(frozen=True)
class Line:
    """A measure of a day or a period, compared with earlier ones."""

    measure: Measure
    definition: str
    now: MeasuredValue
    earlier: tuple[Comparison, ...]

    @property
    def is_late(self) -> bool:
        """Whether one of its numbers is a balance that was rolled back to its day."""
        return any(value.is_late for value in (self.now, *(one.before for one in self.earlier)))


def compare_days(figures: Figures, query: str, measures: tuple[Measure, ...]) -> list[Line]:
    """Compare the day of the report with the day before and a week before, by a daily query."""
    rows = {row["day"]: row for row in figures[query].to_dict("records")}
    days = [figures.day - timedelta(days=back) for back in (0, 1, 7)]
    return [
        _line(figures, each, *(_read_day(figures, each, day, rows.get(day)) for day in days))
        for each in measures
    ]


def compare_periods(
    figures: Figures, query: str, measures: tuple[Measure, ...], days: Days
) -> list[Line]:
    """Compare the days of a period with those before: a line per measure, from a daily query."""
    rows = {row["day"]: row for row in figures[query].to_dict("records")}
    return [
        _line(
            figures,
            each,
            _read_days(figures, each, rows, days.all),
            _read_days(figures, each, rows, days.all_before),
        )
        for each in measures
    ]


def known_days(figures: Figures, query: str, measure: Measure) -> pd.DataFrame:
    """The days with a known value, as `day`, `value` (a float) and `is_complete`."""
    rows = figures[query].to_dict("records")
    read = [(row["day"], _read_day(figures, measure, row["day"], row).value) for row in rows]
    known = [
        (day, float(value), figures.completeness.is_complete(measure.tables, day))
        for day, value in read
        if value is not None
    ]
    return pd.DataFrame(known, columns=["day", "value", "is_complete"])


def _line(figures: Figures, measure: Measure, now: MeasuredValue, *earlier: MeasuredValue) -> Line:
    return Line(
        measure,
        figures.definitions.get(measure.defined_by, ""),
        now,
        tuple(Comparison(one, _change(figures.formats, measure, now, one)) for one in earlier),
    )


def _read_days(
    figures: Figures, measure: Measure, rows: dict[date, dict[str, Any]], days: list[date]
) -> MeasuredValue:
    """The measure over the known days; the state is MISSING if one of the days is not known."""
    state = max(figures.completeness.worst(measure.tables, day) for day in days)
    known = [
        rows[day]
        for day in days
        if day in rows and figures.completeness.worst(measure.tables, day) is not DayState.MISSING
    ]
    value = _aggregate(measure, known)
    is_late = value is not None and _is_rolled_back(measure, known[-1], days[-1])
    text = measure.write(figures.formats, value, of_period=True)
    return MeasuredValue(value, text, state, is_late)


def _aggregate(measure: Measure, rows: Sequence[dict[str, Any]]) -> Number | None:
    rows = [row for row in rows if row[measure.column] is not None]
    if not rows:
        return None
    if measure.over == "last":
        return measure.value(rows[-1])
    total = sum((Decimal(row[measure.column]) for row in rows), Decimal(0))
    if measure.over == "mean":
        return (total / len(rows)).quantize(Decimal("0.1"))
    if measure.per is None:
        return total
    base = sum(Decimal(row[measure.per]) for row in rows)
    return total / base if base else None


def _change(formats: Formats, measure: Measure, now: MeasuredValue, before: MeasuredValue) -> str:
    # A sum over fewer days than the period has would make the change look like growth, or a fall.
    is_partial = measure.over == "sum" and now.state is DayState.MISSING
    if measure.is_growing or is_partial or before.state is DayState.MISSING:
        return NOTHING
    if measure.shape == "share":
        return formats.share_change(now.value, before.value)
    return formats.change(now.value, before.value)


def _read_day(
    figures: Figures, measure: Measure, day: date, row: dict[str, Any] | None
) -> MeasuredValue:
    state = figures.completeness.worst(measure.tables, day)
    value = None if row is None or state is DayState.MISSING else measure.value(row)
    is_late = row is not None and value is not None and _is_rolled_back(measure, row, day)
    return MeasuredValue(value, measure.write(figures.formats, value), state, is_late)


def _is_rolled_back(measure: Measure, row: dict[str, Any], day: date) -> bool:
    """Whether a balance was read after the day, and computed back to it."""
    observed = row.get("balance_observed_date")
    return "balance" in measure.column and observed is not None and observed > day
