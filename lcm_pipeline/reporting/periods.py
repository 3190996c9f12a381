"""Weeks and months, and the days of the period before that they are compared with."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Kind = Literal["week", "month"]
_DAY = timedelta(days=1)
# A period and those next to it lie within the range of dates.
_YEARS = range(1900, 9001)


@dataclass(frozen=True)
class Days:
    """The known days of a period, and the earlier days that they are compared with.

    Both ranges are inclusive. is_part: the period is not over, and has more days. is_cut: it began
    before the first known day, and is shown from there.
    """

    first: date
    last: date
    before_first: date
    before_last: date
    is_part: bool
    is_cut: bool = False

    @property
    def all(self) -> list[date]:
        """The days, in order."""
        return _between(self.first, self.last)

    @property
    def all_before(self) -> list[date]:
        """The days that they are compared with, in order."""
        return _between(self.before_first, self.before_last)

    @property
    def count(self) -> int:
        """How many days there are."""
        return len(self.all)


@dataclass(frozen=True)
class Period:
    """An ISO week, Monday to Sunday, or a calendar month; first and last are inclusive."""

    kind: Kind
    first: date
    last: date

    @property
    def name(self) -> str:
        """The name on the command line: 2026-W12, or 2026-03."""
        if self.kind == "month":
            return f"{self.first:%Y-%m}"
        year, week, _ = self.first.isocalendar()
        return f"{year}-W{week:02}"

    @property
    def before(self) -> "Period":
        """The period that ends on the day before this one begins."""
        return period_of(self.kind, self.first - _DAY)

    def known_days(self, first_known: date, last: date) -> Days:
        """Its days through `last`; a part is compared with as many days of the period before.

        first_known: the first day of which anything is known; it may be inside the period.
        """
        end = min(self.last, last)
        is_cut = self.first < first_known <= end
        first = first_known if is_cut else self.first
        before = self.before
        if end == self.last:
            return Days(first, end, before.first, before.last, is_part=False, is_cut=is_cut)
        before_end = min(before.last, before.first + (end - self.first))
        return Days(first, end, before.first, before_end, is_part=True, is_cut=is_cut)


def period_of(kind: Kind, day: date) -> Period:
    """The week or month that a day lies in."""
    if kind == "week":
        monday = day - timedelta(days=day.weekday())
        return Period(kind, monday, monday + timedelta(days=6))
    first = day.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return Period(kind, first, next_month - _DAY)


def last_ended_period(kind: Kind, last: date) -> Period:
    """The newest week or month that has ended by `last`, the last known day."""
    return period_of(kind, last + _DAY).before


def parse_period(kind: Kind, text: str) -> Period:
    """A week such as 2026-W12, or a month such as 2026-03; raises ValueError."""
    if kind == "week":
        if (found := re.fullmatch(r"(\d{4})-?W(\d{2})", text)) is None:
            raise ValueError(f"{text!r} is not a week: expected one such as 2026-W12")
        year, week = int(found[1]), int(found[2])
        # 28 December is always in the last week of its ISO year.
        weeks = date(year, 12, 28).isocalendar().week if year in _YEARS else 0
        if not 1 <= week <= weeks:
            raise ValueError(f"there is no week {text}: {_numbers(year, weeks)}, such as 2026-W12")
        return period_of(kind, date.fromisocalendar(year, week, 1))
    if (found := re.fullmatch(r"(\d{4})-(\d{2})", text)) is None:
        raise ValueError(f"{text!r} is not a month: expected one such as 2026-03")
    year, month = int(found[1]), int(found[2])
    months = 12 if year in _YEARS else 0
    if not 1 <= month <= months:
        raise ValueError(f"there is no month {text}: {_numbers(year, months)}, such as 2026-03")
    return period_of(kind, date(year, month, 1))


def _numbers(year: int, last: int) -> str:
    """Say which weeks or months exist; last: that of the year, 0 if the year is out of range."""
    if last == 0:
        return f"expected a year from {_YEARS[0]} to {_YEARS[-1]}"
    return f"those of {year} are 01 to {last}"


def _between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
