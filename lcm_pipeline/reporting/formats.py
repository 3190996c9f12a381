"""Formats numbers and days in the language of the page. None is written as a dash, never as 0."""

from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from lcm_pipeline.model.language import Language

NOTHING = "—"
Number = Decimal | int
_LOCALES: dict[Language, str] = {"ru": "ru_RU", "en": "en_GB"}
_DAYS: dict[Language, str] = {"ru": "dd.MM.yyyy", "en": "d MMM yyyy"}
_LONG_DAYS: dict[Language, str] = {"ru": "d MMMM yyyy, EEEE", "en": "EEEE, d MMMM yyyy"}
_MONTH_NUMBERS: dict[Language, str] = {"ru": "MM.yy", "en": "MMM yy"}
_NEVER: dict[Language, str] = {"ru": "бессрочно", "en": "never"}
_POINTS: dict[Language, str] = {"ru": "п.п.", "en": "pp"}


class Formats:
    """The formats of one language. Timestamps are shown in `zone`; they have to be aware."""

    NAMES = ("count", "points", "money", "share", "proven", "signed", "short_day", "month",
             "moment")  # fmt: skip

    def __init__(self, language: Language, zone: ZoneInfo) -> None:
        self._language, self._locale, self._zone = language, _LOCALES[language], zone

    def count(self, value: Number | None) -> str:
        """A whole number: 12 345."""
        return NOTHING if value is None else self._decimal(value, "#,##0")

    def decimal(self, value: Number | None) -> str:
        """A number with one decimal: 12 345,6."""
        return NOTHING if value is None else self._decimal(value, "#,##0.0")

    def points(self, value: Number | None) -> str:
        """Points: 12 345,60."""
        return NOTHING if value is None else self._decimal(value, "#,##0.00")

    def money(self, value: Number | None) -> str:
        """Money, in roubles: 12 345,60 ₽."""
        return NOTHING if value is None else f"{self._decimal(value, '#,##0.00')}\u00a0₽"

    def share(self, value: Number | None) -> str:
        """A share (0 to 1) in percent: 12,3 %."""
        return NOTHING if value is None else self._percent(value, "#,##0.0 %")

    def proven(self, value: Number | None) -> str:
        """A share (0 to 1) in percent, rounded down: 99,999 % is never shown as 100 %."""
        if value is None:
            return NOTHING
        return self._percent(Decimal(value).quantize(Decimal("0.0001"), ROUND_DOWN), "#,##0.## %")

    def change(self, now: Number | None, before: Number | None) -> str:
        """By how much a number grew: +12,3 %; a dash if there is no positive base."""
        if now is None or before is None or before <= 0:
            return NOTHING
        growth = (Decimal(now) / Decimal(before) - 1).quantize(Decimal("0.001"))
        return self._percent(growth, "+#,##0.0 %;−#,##0.0 %" if growth else "0 %")

    def share_change(self, now: Number | None, before: Number | None) -> str:
        """By how many percentage points a share grew: +1,2 п.п."""
        if now is None or before is None:
            return NOTHING
        steps = (100 * (Decimal(now) - Decimal(before))).quantize(Decimal("0.1"))
        written = self._decimal(steps, "+#,##0.0;−#,##0.0" if steps else "0")
        return f"{written} {_POINTS[self._language]}"

    def signed(self, value: Number | None) -> str:
        """A number with its sign: +12,30 or −4,00; 0 has none."""
        if value is None:
            return NOTHING
        return self._decimal(value, "+#,##0.00;−#,##0.00" if value else "0")

    def short_day(self, day: date | None) -> str:
        """31.03.2026, or 31 Mar 2026."""
        return NOTHING if day is None else self._date(day, _DAYS[self._language])

    def long_day(self, day: date) -> str:
        """The day with its weekday."""
        return self._date(day, _LONG_DAYS[self._language])

    def month(self, day: date | None) -> str:
        """март 2026."""
        return NOTHING if day is None else self._date(day, "LLLL yyyy")

    def month_number(self, day: date | None) -> str:
        """03.26, or Mar 26; None is a month of expiry that never comes."""
        if day is None:
            return _NEVER[self._language]
        return self._date(day, _MONTH_NUMBERS[self._language])

    def moment(self, value: datetime | None) -> str:
        """A timestamp in the zone: 31.03.2026 06:05."""
        if value is None:
            return NOTHING
        shape = f"{_DAYS[self._language]} HH:mm"
        return str(format_datetime(value, shape, tzinfo=self._zone, locale=self._locale))

    def _decimal(self, value: Number, shape: str) -> str:
        return str(format_decimal(value, shape, locale=self._locale))

    def _percent(self, value: Number, shape: str) -> str:
        return str(format_percent(value, shape, locale=self._locale))

    def _date(self, day: date, shape: str) -> str:
        return str(format_date(day, shape, locale=self._locale))


def exact(value: float) -> Decimal:
    """A float of a chart as a Decimal, without the digits that binary floats add."""
    return Decimal(str(value))
