"""How numbers and days are written: as a Russian reader expects them. None is a dash, never 0."""

from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal, format_percent

_RUSSIAN = "ru_RU"
NOTHING = "—"
Number = Decimal | int


def count(value: Number | None) -> str:
    """A whole number: 12 345."""
    return NOTHING if value is None else format_decimal(value, "#,##0", locale=_RUSSIAN)


def points(value: Number | None) -> str:
    """Points: 12 345,60."""
    return NOTHING if value is None else format_decimal(value, "#,##0.00", locale=_RUSSIAN)


def money(value: Number | None) -> str:
    """Money, in roubles: 12 345,60 ₽."""
    return NOTHING if value is None else str(format_currency(value, "RUB", locale=_RUSSIAN))


def share(value: Number | None) -> str:
    """A share of 1 in percent: 12,3 %."""
    return NOTHING if value is None else format_percent(value, "#,##0.0 %", locale=_RUSSIAN)


def proven(value: Number | None) -> str:
    """A share in percent that is cut off: 99,99 % is never shown as 100 %."""
    if value is None:
        return NOTHING
    cut = Decimal(value).quantize(Decimal("0.0001"), ROUND_DOWN)
    return format_percent(cut, "#,##0.## %", locale=_RUSSIAN)


def change(now: Number | None, before: Number | None) -> str:
    """By how much a number grew: +12,3 %; without a base there is nothing to say."""
    if now is None or before is None or before <= 0:
        return NOTHING
    growth = (Decimal(now) / Decimal(before) - 1).quantize(Decimal("0.001"))
    return format_percent(growth, "+#,##0.0 %;−#,##0.0 %" if growth else "0 %", _RUSSIAN)


def share_change(now: Number | None, before: Number | None) -> str:
    """By how many percentage points a share grew: +1,2 п.п."""
    if now is None or before is None:
        return NOTHING
    steps = (100 * (Decimal(now) - Decimal(before))).quantize(Decimal("0.1"))
    shape = "+#,##0.0;−#,##0.0" if steps else "0"
    return f"{format_decimal(steps, shape, locale=_RUSSIAN)} п.п."


def signed(value: Number | None) -> str:
    """A number with its sign: +12,30 or −4,00; 0 has none."""
    if value is None:
        return NOTHING
    return format_decimal(value, "+#,##0.00;−#,##0.00" if value else "0", locale=_RUSSIAN)


def exact(value: float) -> Decimal:
    """A number that was drawn, as it is to be written."""
    return Decimal(str(value))


def short_day(day: date | None) -> str:
    """31.03.2026."""
    return NOTHING if day is None else format_date(day, "dd.MM.yyyy", locale=_RUSSIAN)


def month(day: date | None) -> str:
    """март 2026."""
    return NOTHING if day is None else format_date(day, "LLLL yyyy", locale=_RUSSIAN)


def month_number(day: date | None) -> str:
    """03.26; what has no month never ends."""
    return "бессрочно" if day is None else format_date(day, "MM.yy", locale=_RUSSIAN)


def long_day(day: date, language: str) -> str:
    """The day with its weekday, in `ru` or `en`."""
    shape = "d MMMM yyyy, EEEE" if language == "ru" else "EEEE, d MMMM yyyy"
    return format_date(day, shape, locale=_RUSSIAN if language == "ru" else "en_GB")


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the programme's time zone: 31.03.2026 06:05."""
    if value is None:
        return NOTHING
    return str(format_datetime(value, "dd.MM.yyyy HH:mm", tzinfo=zone, locale=_RUSSIAN))


FILTERS: dict[str, Any] = {
    "count": count,
    "points": points,
    "money": money,
    "share": share,
    "proven": proven,
    "signed": signed,
    "short_day": short_day,
    "month": month,
}
