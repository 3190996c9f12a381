"""Moments as the vendor stores them: naive Moscow time counted in ticks of 100 nanoseconds.

A tick is finer than the microseconds of a `datetime`, so moments are plain integers here, and
become text once. The `Z` of a request's date is ignored, as the vendor does: it is three hours off.
"""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from random import Random

SECOND = 10_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
UNSET = "0001-01-01T00:00:00"

_BEGINNING = datetime(1, 1, 1)
_MOSCOW_MINUTES = 180
_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,7})\d*)?(Z|[+-]\d{2}:\d{2})?)?"
)


def ticks_of(moment: datetime) -> int:
    """Count a naive moment in ticks since the beginning of year 1."""
    return (moment - _BEGINNING) // timedelta(microseconds=1) * 10


def day_start(day: date) -> int:
    """The first tick of a day."""
    return (day.toordinal() - 1) * DAY


def date_of(ticks: int) -> date:
    """The day that a tick lies in."""
    return date.fromordinal(ticks // DAY + 1)


def datetime_of(ticks: int) -> datetime:
    """The moment cut to microseconds."""
    return _BEGINNING + timedelta(microseconds=ticks // 10)


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return date.fromordinal(day + 1).isoformat()


def text_of(ticks: int) -> str:
    """Write a moment as the service does: no offset, 0 to 7 fraction digits, no trailing zero."""
    day, rest = divmod(ticks, DAY)
    second, fraction = divmod(rest, SECOND)
    minute, second = divmod(second, 60)
    text = f"{_day_text(day)}T{minute // 60:02}:{minute % 60:02}:{second:02}"
    return f"{text}.{fraction:07}".rstrip("0") if fraction else text


def with_offset(text: str, zone: str) -> str:
    """Write a served moment with an offset: zone is `moscow` or `utc`; unset dates stay."""
    if text.startswith("0001-") or (ticks := read_moment(text)) is None:
        return text
    if zone == "moscow":
        return text + "+03:00"
    return text_of(ticks - _MOSCOW_MINUTES * MINUTE) + "Z"


def read_moment(text: str) -> int | None:
    """Read a request's date; None for another text, which is ignored as a filter."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}")
    except ValueError:
        return None
    ticks = ticks_of(moment) + int((fraction or "0").ljust(7, "0"))
    if zone is None or zone == "Z":
        return ticks
    hours, minutes = zone[1:].split(":")
    shift = (int(hours) * 60 + int(minutes)) * (-1 if zone[0] == "-" else 1)
    return ticks + (_MOSCOW_MINUTES - shift) * MINUTE


def moment_within(chance: Random, day: int) -> int:
    """Draw a moment of the day that starts at tick `day`, with 0 to 7 fraction digits."""
    draw = chance.random()
    if draw < 0.01:
        return day + DAY - 1
    if draw < 0.02:
        return day
    moment = day + int((8 + 15 * chance.random()) * 3600) * SECOND
    digits = int(chance.random() * 8)
    if digits == 0:
        return moment - moment % MINUTE if draw < 0.5 else moment
    fraction = f"{int(chance.random() * 10**digits):0{digits}}"
    return moment + int(fraction.ljust(7, "0"))
